import { existsSync } from "node:fs";
import { nodeFolder } from "./commands.ts";
import type { Engine } from "./engine.ts";
import { linkFolders } from "./environment.ts";
import { cacheFolder, projectFolder } from "./paths.ts";
import { folderEntry } from "./program-files.ts";
import { tar, type TarEntry } from "./tar.ts";
import type { Testbed } from "./testbed.ts";

/** A container to be reached with `docker exec -i NAME COMMAND` on the engine that it runs on. */
export interface ExecHost extends AsyncDisposable {
  name: string;
}

const image = "docker-over-ssh-test-bed/exec-host";

/**
 * Runs a container in which `docker-over-ssh` and `docker` are found and talk to an engine:
 * `docker exec -i NAME docker-over-ssh pull app:v1`.
 * @param on the engine that runs it
 * @param to the engine that is talked to from within. When it is the other one, what the command
 *   offers on 127.0.0.1 is out of its reach: they are on different networks.
 */
export async function startExecHost(bed: Testbed, { on, to = on }: { on: Engine; to?: Engine }): Promise<ExecHost> {
  await on.dockerWithInput(tar(rootFiles()), ["import", "-", image]);
  const readOnly = ["/usr", "/etc/alternatives", nodeFolder, projectFolder, bed.bin, cacheFolder, ...linkFolders()];
  const volumes = [...new Set(readOnly)].filter(existsSync).map((path) => `${path}:${path}:ro`);
  volumes.push(`${to.description.socket}:/run/docker.sock`);
  const env = [`PATH=${bed.bin}:${to.env.PATH}`, "DOCKER_HOST=unix:///run/docker.sock"];
  const options = [
    ...volumes.flatMap((volume) => ["--volume", volume]),
    ...env.flatMap((variable) => ["--env", variable]),
    // The engine and the command meet on 127.0.0.1.
    "--network=host",
  ];
  const { stdout: name } = await on.docker("run", "--detach", ...options, image, "sleep", "infinity");
  return {
    name,
    async [Symbol.asyncDispose]() {
      // The image stays: another such container may use it.
      await on.docker("rm", "--force", "--volumes", name);
    },
  };
}

/** The frame for the machine's own /usr: Debian and Ubuntu have their programs in there. */
function rootFiles(): TarEntry[] {
  const links = ["bin", "lib", "lib64", "sbin"].map((path): TarEntry => ({
    path,
    type: "link",
    target: `usr/${path}`,
  }));
  const folders = ["etc", "proc", "root", "run", "sys", "usr", "var"].map(folderEntry);
  const runLink: TarEntry = { path: "var/run", type: "link", target: "../run" };
  return [...links, ...folders, { ...folderEntry("tmp"), mode: 0o1777 }, runLink];
}
