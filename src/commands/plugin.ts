import { Failure } from "../output/errors.ts";
import type { CommandDefinition } from "./options/command-definition.ts";

export const pluginCommand: CommandDefinition<object> = {
  name: "plugin",
  summary: "make docker pushssh and docker pullssh run push and pull",
  description:
    "Installs two plugins of the docker command in ~/.docker/cli-plugins (DOCKER_CONFIG), or removes them: `docker pushssh app:v2 prod` and `docker pullssh app:v2 ci` then run push and pull, with the engine that docker's own options choose.",
  arguments: [{ term: "<ACTION>", description: "install or uninstall" }],
  options: [],
  toJob([action = ""]) {
    if (action !== "install" && action !== "uninstall") {
      throw new Failure("usage", `plugin has no action ${action}`, { expected: "install or uninstall" });
    }
    if (process.platform === "win32") {
      throw new Failure("usage", "plugin needs a POSIX shell, which Windows does not have", {
        expected: "Linux or macOS, or docker in WSL",
      });
    }
    return {
      run: async (context) => {
        const { installPlugins, uninstallPlugins } = await import("../plugin/install-plugin.ts");
        await (action === "install" ? installPlugins : uninstallPlugins)(context);
      },
    };
  },
};
