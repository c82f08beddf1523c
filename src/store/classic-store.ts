import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { forgetName } from "../engine/temporary-name.ts";
import { streamDockerArchive } from "../image/docker/write-docker-archive.ts";
import { digestOf } from "../image/digest.ts";
import type { RelatedImage } from "./related-images.ts";
import { loadAhead } from "./load-ahead.ts";
import type { StreamStore } from "./store.ts";

/**
 * Layers of this many bytes are worth a separate image: the engine unpacks 100 to 200 MB/s with one core, and an image costs about 10 ms.
 */
const AHEAD_MIN = 64_000_000;

/**
 * The classic store of Docker, on a graph driver, and the Podman store. They identify a layer by its chain ID, whatever its blob, and load
 * a docker archive with empty files in place of the present layers (docs/decisions/missing-layers-by-chain-id.md). They first unpack the
 * whole archive into a temporary folder, so the archive can be streamed to them.
 *
 * @param relatedImages returns images that share layers with the incoming image, those with the most shared layers first
 * @param nameForLowest returns a temporary name for an image of the `count` lowest layers. If undefined, no layers are loaded ahead
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
      // A layer that occurs twice is one file in the archive, but the store may have it at only one of the two positions.
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
          archive.on("error", () => {}); // the archive may fail before the request; `loaded` reports the error
          // A truncated archive leaves nothing behind: the engine reads it only when it is complete.
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
