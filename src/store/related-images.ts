import type { EngineImages, ImageInfo } from "../engine/engine-images.ts";
import { chainIds, digestOf, type Digest } from "../image/digest.ts";

/** Inspections under way at once: an engine with hundreds of images answers them in milliseconds each. */
const AT_ONCE = 8;

/** A tar with nothing in it: `WORKDIR`, and a `RUN` that changes nothing, leave it in images that have nothing else in common. */
const EMPTY_LAYER = digestOf(Buffer.alloc(1024));

/** An image of the engine that shares layers with the one that is wanted. */
export interface RelatedImage {
  id: string;
  /** Its own, bottom first. */
  diffIds: readonly Digest[];
  /** How many of the lowest layers are the same, on the same stack; none where others stand on another base. */
  shared: number;
}

/** The images that share layers with `diffIds`: those first that share most from the bottom up, then those that share most. */
export async function findRelatedImages(engine: EngineImages, diffIds: readonly Digest[]): Promise<RelatedImage[]> {
  const wanted = chainIds(diffIds);
  const images = await inspectAll(engine);
  return images
    .map(({ id, diffIds: own }) => ({
      relative: { id, diffIds: own, shared: sharedPrefix(chainIds(own), wanted) },
      same: own.filter((diffId) => diffId !== EMPTY_LAYER && diffIds.includes(diffId)).length,
    }))
    .filter(({ same, relative: { shared } }) => same > 0 || shared > 0)
    .toSorted((a, b) => b.relative.shared - a.relative.shared || b.same - a.same)
    .map(({ relative }) => relative);
}

async function inspectAll(engine: EngineImages): Promise<ImageInfo[]> {
  const ids = await engine.listImageIds();
  const found: ImageInfo[] = [];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
        // An image that went in the meantime, or whose platform is not this one's, is none of ours.
        const info = await engine.inspectImage(id).catch(() => undefined);
        if (info !== undefined) found.push(info);
      }
    }),
  );
  return found;
}

function sharedPrefix(own: readonly Digest[], wanted: readonly Digest[]): number {
  const end = wanted.findIndex((chainId, index) => own[index] !== chainId);
  return end === -1 ? wanted.length : end;
}
