import { Failure } from "docker-over-ssh/builds";
import type { ServeSettings } from "../settings.ts";
import type { Access } from "./client.ts";
import { mayGoWithoutTokens, NoTokens } from "./no-tokens.ts";
import { TokenAccess } from "./token-access.ts";

export interface ReloadableAccess extends Access {
  /**
   * Runs on SIGHUP, and returns the number of tokens. For an invalid token file, rejects with a Failure and keeps the
   * tokens it had.
   */
  reload?: () => Promise<number>;
}

/** Returns how the server identifies its clients. Rejects with a Failure `usage` if the server must not start. */
export async function openAccess({
  tokenFile,
  listen,
}: Pick<ServeSettings, "tokenFile" | "listen">): Promise<ReloadableAccess> {
  if (tokenFile !== undefined) return await TokenAccess.open(tokenFile);
  if (mayGoWithoutTokens(listen)) return new NoTokens();
  const host = listen.kind === "tcp" ? listen.host : listen.path;
  throw new Failure(
    "usage",
    `the service refuses to start: ${host} can be reached from other machines, and no tokens are configured`,
    {
      expected: "--token-file, or --listen with an address of loopback or unix:PATH",
      hint: "Create a token: docker-over-ssh serve token NAME --token-file tokens.json",
    },
  );
}
