import { Failure } from "../../output/errors.ts";
import type { HostConnection } from "../../request.ts";
import type { HostOptions } from "./host-options.ts";
import { readConnection } from "./read-connection.ts";

/** Reads the HOST of a command that needs one. Throws a `usage` Failure. */
export function readHost(given: string, options: HostOptions, env: NodeJS.ProcessEnv, command: string): HostConnection {
  const connection = readConnection([given], options, env);
  if (connection.kind === "host") return connection;
  throw new Failure("usage", `${given} is a program of this machine, but ${command} needs a host`, {
    expected: "ssh://[USER@]HOST[:PORT]",
    hint: `Write ssh://${given} for a host of that name.`,
  });
}
