import type { CommandDefinition } from "./options/command-definition.ts";
import { LOGIN_OPTIONS, type HostOptions } from "./options/host-options.ts";
import { readHost } from "./options/read-host.ts";

export interface SetupOptions extends Pick<HostOptions, "ssh" | "sudo" | "farPath"> {
  uninstall?: boolean | undefined;
}

export const setupCommand: CommandDefinition<SetupOptions> = {
  name: "setup",
  summary: "install docker-over-ssh on a host permanently, or remove it",
  description:
    "Installs this docker-over-ssh in the home folder of HOST, which needs Node 20.19 or later: the launcher ~/.local/bin/docker-over-ssh, and docker-over-ssh itself in ~/.local/share. ssh://HOST works without setup, but sends and starts less with it.",
  arguments: [
    {
      term: "<HOST>",
      description:
        "ssh://[USER@]HOST[:PORT], or HOST alone; or docker://CONTAINER, or kubectl://NAMESPACE/POD[/CONTAINER]",
    },
  ],
  options: [
    {
      flags: "--uninstall",
      description:
        "remove the files of setup from HOST, and all leftovers of transfers: the cache folder, and in the engine the volume, containers and temporary names; keep everything that a running transfer uses",
    },
    ...LOGIN_OPTIONS,
  ],
  toJob([host = ""], { uninstall: isUninstall = false, ...options }, env) {
    const connection = readHost(host, options, env, "setup");
    return {
      run: async (context) => {
        if (isUninstall) await (await import("../remote/setup/uninstall.ts")).uninstall(connection, context);
        else await (await import("../remote/setup/install.ts")).install(connection, context);
      },
    };
  },
};
