import type { Engine } from "./engine.ts";
import { baseFiles, programWithLibraries } from "./program-files.ts";
import { tar } from "./tar.ts";

/** An image for builds to begin with: busybox, and ssh-add, which asks an ssh agent. */
export const BASE = "build-base:v1";

export async function importBase(engine: Engine): Promise<void> {
  const files = [...(await baseFiles()), ...(await programWithLibraries("ssh-add", "bin/ssh-add"))];
  await engine.dockerWithInput(tar(files), ["import", "--change", "ENV PATH=/bin", "-", BASE]);
}
