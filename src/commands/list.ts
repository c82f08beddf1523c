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
  summary: "print the images and layers of an engine, for push --have",
  description:
    "Prints the images and layers of an engine: that of this side, or with HOST that of the host, which needs nothing else. Prints a table on a terminal; otherwise, and with --json, one JSON object (docs/air-gap.md), from which push --have finds the missing layers. Changes nothing.",
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
    { flags: "--json", description: "print the JSON object, also on a terminal; notes and errors stay on stderr" },
  ],
  toJob([given], { host: engine, json = false, ...options }, env) {
    if (given !== undefined && engine !== undefined) {
      throw new Failure("usage", "--host is for the engine of this side, but a host is named", {
        expected: "--host or a host, not both",
        hint: "Omit --host to list the engine of the host.",
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
