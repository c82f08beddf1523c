import { Failure } from "docker-over-ssh/builds";
import type { ServeSettings } from "../settings.ts";
import type { Access } from "./client.ts";
import { mayGoWithoutTokens, NoTokens } from "./no-tokens.ts";
import { TokenAccess } from "./token-access.ts";

export interface ReloadableAccess extends Access {
  /** On SIGHUP. Rejects with a Failure, and keeps what it had, for a token file that is not valid. Returns how many tokens there are. */
  reload?: () => Promise<number>;
}

/** Returns how the server finds out who its clients are. Rejects with a Failure `usage`: then the server does not start. */
export async function openAccess({
  tokenFile,
  listen,
}: Pick<ServeSettings, "tokenFile" | "listen">): Promise<ReloadableAccess> {
  if (tokenFile !== undefined) return await TokenAccess.open(tokenFile);
  if (mayGoWithoutTokens(listen)) return new NoTokens();
  const host = listen.kind === "tcp" ? listen.host : listen.path;
  throw new Failure(
    "usage",
    `the service refuses to start: ${host} can be reached from other machines, and there are no tokens`,
    {
      expected: "--token-file, or --listen with an address of loopback or unix:PATH",
      hint: "Make a token: docker-over-ssh serve token NAME --token-file tokens.json",
    },
  );
}
