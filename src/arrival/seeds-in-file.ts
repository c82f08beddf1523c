import { decodeLayer } from "../image/archive/decode-layer.ts";
import type { ArchivedImage, ArchivedLayer, ImageArchive } from "../image/archive/image-archive.ts";
import { openArchive } from "../image/archive/open.ts";
import type { Digest } from "../image/digest.ts";
import type { FilePlace } from "../image/place.ts";
import type { SeedImage, Seeds } from "./seeds.ts";

/** Images whose layers are read: the nearest has nearly all that any has. */
const MAX_IMAGES = 2;
/** Images that are looked at, the last that were put in first: a folder may hold every build of years. */
const MAX_LISTED = 100;

/**
 * The images of an archive or a layout that are most like the one that is coming: those that share most layers with it, and of
 * equal ones the last. Undefined where there is none, or no file yet.
 */
export async function findSeedsInFile(
  { kind, path }: FilePlace,
  { diffIds, platform }: { diffIds: readonly Digest[]; platform: string },
): Promise<Seeds | undefined> {
  // What is there may be broken, or something else: it is only less to be found then.
  const archive = await openArchive(kind, path).catch(() => undefined);
  if (archive === undefined) return undefined;
  const images = await imagesOf(archive, platform);
  const shares = ({ diffIds: own }: ArchivedImage): number => own.filter((diffId) => diffIds.includes(diffId)).length;
  const nearest = images.toSorted((a, b) => shares(b) - shares(a)).slice(0, MAX_IMAGES);
  const seeds = layersOf(nearest, new Set(diffIds)).map(seedOf);
  if (seeds.length > 0) return { images: seeds, [Symbol.asyncDispose]: async () => await archive.close() };
  await archive.close();
  return undefined;
}

/** The last first. */
async function imagesOf(archive: ImageArchive, platform: string): Promise<ArchivedImage[]> {
  const found: ArchivedImage[] = [];
  for (const { names } of archive.list().toReversed().slice(0, MAX_LISTED)) {
    const image = await archive.find(names[0], platform).catch(() => undefined);
    if (image !== undefined) found.push(image);
  }
  return found;
}

/** First those that the image that is coming has others for. */
function layersOf(images: readonly ArchivedImage[], coming: ReadonlySet<Digest>): ArchivedLayer[] {
  const layers = new Map<Digest, ArchivedLayer>();
  for (const image of images) for (const layer of image.layers) layers.set(layer.diffId, layer);
  const isShared = ({ diffId }: ArchivedLayer): number => (coming.has(diffId) ? 1 : 0);
  return [...layers.values()].toSorted((a, b) => isShared(a) - isShared(b));
}

/** An archive's layer has to be read from its beginning to its end, whatever folders are asked for. */
function seedOf({ open, blob }: ArchivedLayer): SeedImage {
  return {
    async *tars() {
      yield { covers: "/", tar: decodeLayer(open(), blob.mediaType) };
    },
  };
}
