import type { Engine } from "./engine.ts";
import { baseFiles, programWithLibraries } from "./program-files.ts";
import { tar } from "./tar.ts";

/** An image with the Node that runs the tests. No registry has it. */
export const NODE_IMAGE = "127.0.0.1:1/docker-over-ssh-test-bed/node";

/** Creates {@link NODE_IMAGE}, unless the engine has it. It is large, so it stays for all tests. */
export async function nodeImage(engine: Engine): Promise<void> {
  if ((await engine.listing()).references.some((name) => name.startsWith(NODE_IMAGE))) return;
  const files = [...(await baseFiles()), ...(await programWithLibraries(process.execPath, "bin/node"))];
  await engine.dockerWithInput(tar(files), ["import", "--change", "ENV PATH=/bin", "-", NODE_IMAGE]);
}
