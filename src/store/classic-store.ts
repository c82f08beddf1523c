import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { forgetName } from "../engine/temporary-name.ts";
import { streamDockerArchive } from "../image/docker/write-docker-archive.ts";
import { digestOf } from "../image/digest.ts";
import type { RelatedImage } from "./related-images.ts";
import { loadAhead } from "./load-ahead.ts";
import type { StreamStore } from "./store.ts";

/** Bytes of layers that are worth an image of their own: the engine takes in 100 to 200 MB/s with one core, and an image costs some 10 ms. */
const AHEAD_MIN = 64_000_000;

/**
 * The classic store of Docker, on a graph driver, and the Podman store. They identify a layer by its chain ID, whatever its blob, and load
 * a docker archive with empty files in place of the layers that they have (docs/decisions/missing-layers-by-chain-id.md). They unpack the
 * whole archive into a temporary folder first, so it can be streamed to them.
 *
 * @param relatedImages images that share layers with the incoming one, those that share most first
 * @param nameForLowest returns a temporary name for an image of the `count` lowest layers; undefined: none are loaded ahead
 */
export function classicStore(
  engine: EngineImages & EngineConnection,
  relatedImages: () => Promise<readonly RelatedImage[]>,
  nameForLowest?: (count: number) => string,
): StreamStore {
  return {
    takes: "streams",
    async present(diffIds) {
      const [nearest] = await relatedImages();
      const lowest = diffIds.slice(0, nearest?.shared ?? 0).map((diffId) => ({ kind: "present" as const, diffId }));
      return { lowest, others: [] };
    },
    async load(image, name) {
      const { diffIds } = image;
      // A layer that occurs twice is one file in the archive, but the store may have it at one of the two positions only.
      const isDistinct = new Set(diffIds).size === diffIds.length;
      const config = await loadAhead(image, name, {
        load(layers, finish) {
          const archive = streamDockerArchive({
            layers,
            async finish() {
              const { config, name: ownName, layersInStore } = await finish();
              return { config, present: diffIds.slice(0, layersInStore), names: [ownName] };
            },
          });
          archive.on("error", () => {}); // it may fail before the request, and `loaded` reports it
          // An archive that breaks off leaves nothing: the engine reads it only when it is complete.
          return {
            loaded: engine.loadImage(archive, undefined, image.onProgress),
            abort: (error) => archive.destroy(error),
          };
        },
        nameForLowest: engine.takesManyAtOnce && isDistinct ? nameForLowest : undefined,
        minBytes: AHEAD_MIN,
        removeName: async (lowest) => await forgetName(engine, lowest),
      });
      return digestOf(config);
    },
  };
}
