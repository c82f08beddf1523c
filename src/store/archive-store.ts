import type { Engine } from "../engine/engine.ts";
import { writeDockerArchive } from "../image/archive/write-docker-archive.ts";
import { findRelatives } from "./chains.ts";
import type { TargetStore } from "./store.ts";

/**
 * The classic graph driver store of Docker, and Podman's: they know a layer by its place on a stack, whatever blob it came
 * as, and take a docker archive with empty files in place of the layers that they have (docs/architecture.md).
 */
export function archiveStore(engine: Engine): TargetStore {
  return {
    description: engine.address,
    async present(diffIds) {
      const [nearest] = await findRelatives(engine, diffIds);
      return diffIds.slice(0, nearest?.shared ?? 0).map((diffId) => ({ kind: "here", diffId }));
    },
    async load({ config, layers }, name) {
      await engine.loadImage(writeDockerArchive({ config, layers, names: [name] }));
    },
  };
}
