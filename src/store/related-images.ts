import type { EngineImages, ImageInfo } from "../engine/engine-images.ts";
import { chainIds, digestOf, type Digest } from "../image/digest.ts";
import { isLeftover, runIdsInName } from "../run/run-id.ts";

/** Concurrent inspections: an engine with hundreds of images answers each in milliseconds. */
const MAX_CONCURRENT = 8;

/** The diff ID of an empty tar. `WORKDIR`, and a `RUN` without changes, create this layer in otherwise unrelated images. */
const EMPTY_LAYER = digestOf(Buffer.alloc(1024));

/** An image of the engine that shares layers with the incoming image. */
export interface RelatedImage {
  id: string;
  /** Bottom first. */
  diffIds: readonly Digest[];
  /** The number of lowest layers with the same chain IDs; 0 for an image that shares only layers on another base. */
  shared: number;
}

/** Returns the images that share layers with `diffIds`, ordered by their shared lowest layers, then by all shared layers. */
export async function findRelatedImages(engine: EngineImages, diffIds: readonly Digest[]): Promise<RelatedImage[]> {
  const wanted = chainIds(diffIds);
  const images = await inspectAll(engine);
  return images
    .map(({ id, diffIds: own }) => ({
      image: { id, diffIds: own, shared: sharedPrefix(chainIds(own), wanted) },
      sameLayers: own.filter((diffId) => diffId !== EMPTY_LAYER && diffIds.includes(diffId)).length,
    }))
    .filter(({ sameLayers, image }) => sameLayers > 0 || image.shared > 0)
    .toSorted((a, b) => b.image.shared - a.image.shared || b.sameLayers - a.sameLayers)
    .map(({ image }) => image);
}

/** Returns all images of an engine, in any order, including those without a name. */
export async function inspectAll(engine: EngineImages): Promise<ImageInfo[]> {
  const ids = await engine.listImageIds();
  const found: ImageInfo[] = [];
  await Promise.all(
    Array.from({ length: MAX_CONCURRENT }, async () => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
        // The image has been removed in the meantime, or is for another platform.
        const info = await engine.inspectImage(id).catch(() => undefined);
        if (info !== undefined && !isLeftBehind(info)) found.push(info);
      }
    }),
  );
  return found;
}

/** Returns whether the image has only temporary names of a killed run: the next transfer removes it, and a dry run keeps it. */
function isLeftBehind({ names = [] }: ImageInfo): boolean {
  return names.length > 0 && names.every((name) => isLeftover(runIdsInName(name)));
}

function sharedPrefix(own: readonly Digest[], wanted: readonly Digest[]): number {
  const end = wanted.findIndex((chainId, index) => own[index] !== chainId);
  return end === -1 ? wanted.length : end;
}
