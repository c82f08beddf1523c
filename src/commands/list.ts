import { namedEndpoint } from "../engine/connect/endpoint.ts";
import { Failure } from "../output/errors.ts";
import type { CommandDefinition } from "./options/command-definition.ts";
import { LOGIN_OPTIONS, type HostOptions } from "./options/host-options.ts";
import { readHost } from "./options/read-host.ts";

export interface ListOptionValues extends Pick<HostOptions, "ssh" | "sudo" | "farPath"> {
  host?: string | undefined;
  json?: boolean | undefined;
}

export const listCommand: CommandDefinition<ListOptionValues> = {
  name: "list",
  summary: "print what an engine has, for push --have",
  description:
    "Prints the images and layers of an engine: the one of this side, or with HOST the one there, which needs nothing else. On a terminal as a table; otherwise, and with --json, as one JSON object (docs/air-gap.md), from which push --have tells what is missing there. Changes nothing.",
  arguments: [
    {
      term: "[HOST]",
      description:
        "ssh://[USER@]HOST[:PORT], or HOST alone; or docker://CONTAINER, or kubectl://NAMESPACE/POD[/CONTAINER]",
    },
  ],
  options: [
    ...LOGIN_OPTIONS,
    {
      flags: "-H, --host <address>",
      description: "address of the engine, as for the docker command: unix://, tcp://, npipe:// or ssh://",
    },
  ],
  toJob([given], { host: engine, json = false, ...options }, env) {
    if (given !== undefined && engine !== undefined) {
      throw new Failure("usage", "--host is for the engine of this side, and a host is named", {
        expected: "one of both",
        hint: "Leave --host out: the engine of the host is listed.",
      });
    }
    const host = given === undefined ? undefined : readHost(given, options, env, "list");
    const endpoint = namedEndpoint(engine, env);
    return {
      printsOnStdout: true,
      run: async (context) => await (await import("../list/list.ts")).list({ endpoint, host, json }, context),
    };
  },
};
