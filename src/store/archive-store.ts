import type { Engine } from "../engine/engine.ts";
import { streamDockerArchive } from "../image/archive/write-docker-archive.ts";
import { findRelatives } from "./chains.ts";
import type { StreamStore } from "./store.ts";

/**
 * The classic graph driver store of Docker, and Podman's: they know a layer by its place on a stack, whatever blob it came
 * as, and take a docker archive with empty files in place of the layers that they have (docs/architecture.md). They unpack it
 * into a temporary folder, whole, before they look at it: so it may be given them as it comes.
 */
export function archiveStore(engine: Engine): StreamStore {
  return {
    takes: "streams",
    async present(diffIds) {
      const [nearest] = await findRelatives(engine, diffIds);
      return diffIds.slice(0, nearest?.shared ?? 0).map((diffId) => ({ kind: "here", diffId }));
    },
    async load({ here, layers, config }, name) {
      const diffIds = here.map(({ diffId }) => diffId);
      await engine.loadImage(streamDockerArchive({ here: diffIds, layers, config, names: [name] }));
    },
  };
}
