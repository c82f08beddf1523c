import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { projectFolder } from "../test/testbed/paths.ts";
import { enginePath } from "../test/testbed/engine-packages.ts";
import type { Machine } from "../test/testbed/machine.ts";
import { nodeImage } from "../test/testbed/node-image.ts";
import { registryImage } from "../test/testbed/registry-image.ts";
import { startTestbed } from "../test/testbed/start.ts";
import type { Testbed } from "../test/testbed/testbed.ts";
import { startRegistry, type RegistryProcess } from "./peers/registry-process.ts";
import { digestsFolder, type Store } from "./stores.ts";

/** Two engines, and everything else that the peers use. */
export interface Stage extends AsyncDisposable {
  store: Store;
  bed: Testbed;
  /** The environment of a user on the near machine. */
  env: Record<string, string>;
  registry: RegistryProcess;
  /** A registry on the far machine. */
  farRegistry: RegistryProcess;
  /** The path of the program, which is unpacked together with Podman. */
  skopeo: string;
  /** The folder of skopeo's cache about layers. */
  skopeoMemory: string;
  /** A file in either home with one line for each ended docker-over-ssh process: its peak memory in kB. */
  peaks: { near: string; far: string };
  /** A folder with a `node` that records its peak memory. */
  nodeBin: string;
  /** The cache folders of docker-over-ssh. */
  caches: { near: string; far: string };
  /** All folders on the near machine that one transfer changes and a later one reads. */
  memories: string[];
}

export async function openStage(store: Store): Promise<Stage> {
  const peak = fileURLToPath(new URL("peak.mjs", import.meta.url));
  const command = [process.execPath, "--import", peak, join(projectFolder, "bin/docker-over-ssh.js")];
  const bed = await startTestbed({ near: { kind: store.near }, far: { kind: store.far }, command });
  try {
    const { near, far } = machinesOf(bed);
    await registryImage(bed.near);
    await nodeImage(bed.far);
    const registry = await startRegistry(near, join(bed.folder, "registry"));
    const farRegistry = await startRegistry(far, join(bed.folder, "far-registry"));
    const nodeBin = join(bed.folder, "node-bin");
    mkdirSync(nodeBin);
    const node = `#!/bin/sh\nexec '${process.execPath}' --import '${peak}' "$@"\n`;
    writeFileSync(join(nodeBin, "node"), node, { mode: 0o755 });
    const skopeoMemory = join(bed.folder, "skopeo");
    mkdirSync(skopeoMemory);
    const cacheIn = ({ folder }: Machine): string => join(folder, "home/.cache/docker-over-ssh");
    const digests = store.name === "graphdriver" ? [join(near.dataFolder, digestsFolder)] : [];
    return {
      store,
      bed,
      env: { ...bed.env, XDG_CACHE_HOME: join(near.folder, "home/.cache") },
      registry,
      farRegistry,
      skopeo: join((await enginePath("podman")).split(":")[0] ?? "", "skopeo"),
      skopeoMemory,
      nodeBin,
      peaks: { near: join(near.folder, "home/peaks"), far: join(far.folder, "home/peaks") },
      caches: { near: cacheIn(near), far: cacheIn(far) },
      memories: [registry.data, farRegistry.data, skopeoMemory, ...digests],
      [Symbol.asyncDispose]: async () => await bed[Symbol.asyncDispose](),
    };
  } catch (error) {
    await bed[Symbol.asyncDispose]();
    throw error;
  }
}

export function machinesOf({ description: { machines } }: Testbed): { near: Machine; far: Machine } {
  if ("why" in machines) throw new Error(machines.why);
  return machines;
}
