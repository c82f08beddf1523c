import { namedEndpoint } from "../engine/connect/endpoint.ts";
import { Failure } from "../output/errors.ts";
import type { CommandDefinition } from "./options/command-definition.ts";
import { LOGIN_OPTIONS, type HostOptions } from "./options/host-options.ts";
import { parseAge } from "./options/option-values.ts";
import { readHost } from "./options/read-host.ts";

export interface PruneOptionValues extends Pick<HostOptions, "ssh" | "sudo" | "farPath"> {
  dryRun?: boolean | undefined;
  /** ms */
  olderThan?: number | undefined;
  host?: string | undefined;
}

export const pruneCommand: CommandDefinition<PruneOptionValues> = {
  name: "prune",
  summary: "remove caches and leftovers of transfers, on this machine or on a host",
  description:
    "Removes partial layers, stored contexts of builds, spools, bundles, Nodes and compiled code from the cache folder, and leftovers of killed transfers from the engine: temporary names, containers, and the volume with the cache folder of remote sides in containers. Keeps everything that a running transfer uses. With HOST, does this on the host, where a running transfer keeps the whole cache folder; the files of setup stay.",
  arguments: [
    {
      term: "[HOST]",
      description:
        "ssh://[USER@]HOST[:PORT], or HOST alone; or docker://CONTAINER, or kubectl://NAMESPACE/POD[/CONTAINER]",
    },
  ],
  options: [
    { flags: "--dry-run", description: "print what would be removed, and remove nothing" },
    {
      flags: "--older-than <age>",
      description: "without HOST: keep files that were changed within this time: 90m, 12h, 7d",
      parse: parseAge,
    },
    ...LOGIN_OPTIONS,
    {
      flags: "-H, --host <address>",
      description: "address of the engine, as for the docker command: unix://, tcp://, npipe:// or ssh://",
    },
  ],
  toJob([given], { dryRun: isDryRun = false, olderThan, host: engine, ...options }, env) {
    if (given === undefined) {
      const request = { endpoint: namedEndpoint(engine, env), isDryRun, olderThan: olderThan ?? 0 };
      return {
        run: async (context) => await (await import("../prune/prune-this-side.ts")).pruneThisSide(request, context),
      };
    }
    if (olderThan !== undefined || engine !== undefined)
      throw forThisSide(olderThan === undefined ? "--host" : "--older-than");
    const connection = readHost(given, options, env, "prune");
    return {
      run: async (context) =>
        await (await import("../remote/setup/uninstall.ts")).pruneHost(connection, isDryRun, context),
    };
  },
};

function forThisSide(option: string): Failure {
  return new Failure("usage", `${option} is for this side, but a host is named`, {
    expected: `${option} or a host, not both`,
    hint: `Omit ${option}: everything that no transfer uses is removed from the host.`,
  });
}
