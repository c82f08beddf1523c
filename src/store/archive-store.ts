import type { Readable } from "node:stream";
import type { Engine } from "../engine/engine.ts";
import { streamDockerArchive } from "../image/archive/write-docker-archive.ts";
import { findRelatives } from "./chains.ts";
import { loadAhead } from "./load-ahead.ts";
import type { StreamStore } from "./store.ts";

/**
 * The classic graph driver store of Docker, and Podman's: they know a layer by its place on a stack, whatever blob it came
 * as, and take a docker archive with empty files in place of the layers that they have (docs/architecture.md). They unpack it
 * into a temporary folder, whole, before they look at it: so it may be given them as it comes.
 *
 * @param nameForLowest A temporary name for an image of so many of the lowest layers, where such may be loaded ahead.
 */
export function archiveStore(engine: Engine, nameForLowest?: (count: number) => string): StreamStore {
  return {
    takes: "streams",
    async present(diffIds) {
      const [nearest] = await findRelatives(engine, diffIds);
      return diffIds.slice(0, nearest?.shared ?? 0).map((diffId) => ({ kind: "here", diffId }));
    },
    async load(delivery, name) {
      const { diffIds, here, layers, config } = delivery;
      const load = async (archive: Readable): Promise<void> => await engine.loadImage(archive);
      // A layer that stands in an image twice is one file for both places, and the store may have it in one of them only.
      if (nameForLowest !== undefined && engine.takesManyAtOnce && new Set(diffIds).size === diffIds.length) {
        const forget = async (lowest: string): Promise<void> => await engine.removeReference(lowest).catch(() => {});
        return await loadAhead(delivery, name, { load, nameFor: nameForLowest, forget });
      }
      const present = here.map(({ diffId }) => diffId);
      const finish = async () => ({ config: await config(), here: present, names: [name] });
      await load(streamDockerArchive({ layers, finish }));
    },
  };
}
