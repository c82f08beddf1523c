import type { Engine } from "./engine.ts";
import { baseFiles, programWithLibraries } from "./program-files.ts";
import { tar } from "./tar.ts";

/** A base image for builds: busybox, and ssh-add, which queries an ssh agent. */
export const BASE = "build-base:v1";

export async function importBase(engine: Engine): Promise<void> {
  const files = [...(await baseFiles()), ...(await programWithLibraries("ssh-add", "bin/ssh-add"))];
  await engine.dockerWithInput(tar(files), ["import", "--change", "ENV PATH=/bin", "-", BASE]);
}
