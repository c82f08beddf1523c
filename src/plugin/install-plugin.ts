import { chmod, lstat, mkdir, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { homeFolder } from "../files/cache-folder.ts";
import { Failure, messageOf } from "../output/errors.ts";
import type { SetupStep } from "../output/setup-steps.ts";
import type { Context } from "../transfer.ts";
import { VERSION } from "../version.ts";
import { isPluginLauncher, PLUGINS, pluginLauncher } from "./plugin-launcher.ts";

/** Writes the launchers by which `docker pushssh` and `docker pullssh` run this docker-over-ssh. */
export async function installPlugins({ env, output }: Context): Promise<void> {
  const folder = pluginFolder(env);
  const program = [process.execPath, await realpath(process.argv[1] ?? "")] as const;
  for (const plugin of PLUGINS) {
    const path = join(folder, `docker-${plugin.name}`);
    const text = pluginLauncher(plugin, VERSION, program);
    await orFailure(path, async () => {
      const found = await contentOf(path);
      if (found !== undefined && !isPluginLauncher(found)) throw new Error("another program has written it");
      if (found !== text) await write(path, folder, text);
      output.note({ code: "setup-step", step: step(found === text ? "present" : "written", path) });
    });
  }
}

/** Removes the launchers, except those that another program has written. */
export async function uninstallPlugins({ env, output }: Context): Promise<void> {
  for (const { name } of PLUGINS) {
    const path = join(pluginFolder(env), `docker-${name}`);
    await orFailure(path, async () => {
      const found = await contentOf(path);
      if (found === undefined) return;
      const isOurs = isPluginLauncher(found);
      if (isOurs) await rm(path);
      output.note({
        code: "setup-step",
        step: isOurs ? step("removed", path) : { did: "left", reason: "foreign", what: "launcher", name: path },
      });
    });
  }
}

const step = (did: "present" | "written" | "removed", name: string): SetupStep => ({ did, what: "launcher", name });

/** The folder in which docker looks for plugins of this user. */
function pluginFolder(env: NodeJS.ProcessEnv): string {
  const config = env["DOCKER_CONFIG"] || join(homeFolder(env) ?? "/", ".docker");
  return join(config, "cli-plugins");
}

/** Returns the content of a file; undefined if it does not exist. For a link or a folder, which another program created, returns an empty text. */
async function contentOf(path: string): Promise<string | undefined> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  return found.isFile() ? await readFile(path, "utf8") : "";
}

/** Writes a file atomically, because docker may run it at any moment. */
async function write(path: string, folder: string, text: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const part = `${path}.${process.pid}`;
  try {
    await writeFile(part, text, { flag: "wx", mode: 0o755 });
    await chmod(part, 0o755); // whatever the umask
    await rename(part, path);
  } finally {
    await rm(part, { force: true });
  }
}

async function orFailure(path: string, use: () => Promise<void>): Promise<void> {
  try {
    await use();
  } catch (error) {
    throw new Failure("refused", `${path} cannot be changed: ${messageOf(error)}`, {
      expected:
        "a file that `docker-over-ssh plugin install` wrote, or no file, in a folder that this user may write to",
      hint: "Move it away, or name another folder with DOCKER_CONFIG.",
      cause: error,
    });
  }
}
