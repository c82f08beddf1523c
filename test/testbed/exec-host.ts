import { existsSync } from "node:fs";
import { nodeFolder } from "./commands.ts";
import type { Engine } from "./engine.ts";
import { linkFolders } from "./environment.ts";
import { cacheFolder, projectFolder } from "./paths.ts";
import { folderEntry } from "./program-files.ts";
import { tar, type TarEntry } from "./tar.ts";
import type { Testbed } from "./testbed.ts";

/** A container that is reached with `docker exec -i NAME COMMAND` on its engine. */
export interface ExecHost extends AsyncDisposable {
  name: string;
}

const image = "docker-over-ssh-test-bed/exec-host";

/**
 * Runs a container with `docker-over-ssh` and `docker`, which connect to an engine: `docker exec -i NAME docker-over-ssh pull app:v1`.
 * @param on the engine that runs the container
 * @param to the engine that the commands connect to. The other engine cannot reach a port of 127.0.0.1 in the container, because they are on
 *   different networks.
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
    // The engine and the command share 127.0.0.1.
    "--network=host",
  ];
  const { stdout: name } = await on.docker("run", "--detach", ...options, image, "sleep", "infinity");
  return {
    name,
    async [Symbol.asyncDispose]() {
      // The image stays for other such containers.
      await on.docker("rm", "--force", "--volumes", name);
    },
  };
}

/** An image for a container that mounts the machine's own /usr, which contains the programs of Debian and Ubuntu. */
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
