import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { forgetName } from "../engine/temporary-name.ts";
import { streamDockerArchive } from "../image/docker/write-docker-archive.ts";
import { digestOf } from "../image/digest.ts";
import type { RelatedImage } from "./related-images.ts";
import { loadAhead } from "./load-ahead.ts";
import type { StreamStore } from "./store.ts";

/** Bytes: the engine takes 100 to 200 MB/s in, with one core, and an image more costs it some ten milliseconds. */
const WORTH_IT = 64_000_000;

/**
 * The classic graph driver store of Docker, and Podman's: they know a layer by its place on a stack, whatever blob it came
 * as, and take a docker archive with empty files in place of the layers that they have (docs/architecture.md). They unpack it
 * into a temporary folder, whole, before they look at it: so it may be given them as it comes.
 *
 * @param relatives The images that share layers with the one that comes, those that share most first.
 * @param nameForLowest A temporary name for an image of so many of the lowest layers, where such may be loaded ahead.
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
      const here = diffIds.slice(0, nearest?.shared ?? 0).map((diffId) => ({ kind: "here" as const, diffId }));
      return { here, stored: [] };
    },
    async load(delivery, name) {
      const { diffIds } = delivery;
      // A layer that stands in an image twice is one file for both places, and the store may have it in one of them only.
      const isSimple = new Set(diffIds).size === diffIds.length;
      const loaded = await loadAhead(delivery, name, {
        load(layers, finish) {
          const archive = streamDockerArchive({
            layers,
            async finish() {
              const { config, name: called, inStore } = await finish();
              return { config, here: diffIds.slice(0, inStore), names: [called] };
            },
          });
          archive.on("error", () => {}); // it may fail before the engine is asked; `loaded` tells
          // One that breaks off leaves nothing: the engine has not looked at it yet.
          return { loaded: engine.loadImage(archive), breakOff: (error) => archive.destroy(error) };
        },
        nameForLowest: engine.takesManyAtOnce && isSimple ? nameForLowest : undefined,
        worthIt: WORTH_IT,
        forget: async (lowest) => await forgetName(engine, lowest),
      });
      return digestOf(loaded);
    },
  };
}
