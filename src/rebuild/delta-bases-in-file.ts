import type { Readable } from "node:stream";
import { decompressLayer } from "../image/layer/decompress-layer.ts";
import type { ArchivedImage, ArchivedLayer, ImageArchive } from "../image/archive/image-archive.ts";
import { openArchive } from "../image/archive/open-archive.ts";
import type { Digest } from "../image/digest.ts";
import type { FileLocation } from "../image/location.ts";
import { findBaseLayer } from "./find-base-layer.ts";
import { WHOLE_LAYER, type DeltaBaseImage, type DeltaBases } from "./delta-bases.ts";

/** Images whose layers are read: the nearest has nearly all that any has. */
const MAX_IMAGES = 2;
/** Images that are looked at, the last that were put in first: a folder may hold every build of years. */
const MAX_LISTED = 100;

/**
 * The images of an archive or a layout that are most like the one that is coming: those that share most layers with it, and of
 * equal ones the last. Undefined where there is none, or no file yet.
 */
export async function findDeltaBasesInFile(
  { kind, path }: FileLocation,
  { diffIds, platform }: { diffIds: readonly Digest[]; platform: string },
): Promise<DeltaBases | undefined> {
  // What is there may be broken, or something else: it is only less to be found then.
  const archive = await openArchive(kind, path).catch(() => undefined);
  if (archive === undefined) return undefined;
  const images = await imagesOf(archive, platform);
  const shares = ({ diffIds: own }: ArchivedImage): number => own.filter((diffId) => diffIds.includes(diffId)).length;
  const nearest = images.toSorted((a, b) => shares(b) - shares(a)).slice(0, MAX_IMAGES);
  const deltaBases = nearest.map((image) => seedOf(image, diffIds));
  if (deltaBases.length > 0)
    return { images: deltaBases, reads: "blobs", [Symbol.asyncDispose]: async () => await archive.close() };
  await archive.close();
  return undefined;
}

/** The last first. */
async function imagesOf(archive: ImageArchive, platform: string): Promise<ArchivedImage[]> {
  const found: ArchivedImage[] = [];
  for (const { names } of archive.list().toReversed().slice(0, MAX_LISTED)) {
    const image = await archive.find(names[0], platform).catch(() => undefined);
    if (image?.layers.every(({ absent }) => absent === undefined)) found.push(image);
  }
  return found;
}

/** An archive's layer has to be read from its beginning to its end, whatever folders are asked for. */
function seedOf({ layers, diffIds }: ArchivedImage, coming: readonly Digest[]): DeltaBaseImage {
  const isShared = ({ diffId }: ArchivedLayer): number => (coming.includes(diffId) ? 1 : 0);
  const plain = ({ open, blob }: ArchivedLayer): Readable => decompressLayer(open(), blob.mediaType);
  return {
    async layerLike(diffId) {
      const layer = layers[findBaseLayer(coming, diffIds, diffId) ?? -1];
      return layer && plain(layer);
    },
    async *tars() {
      // First those that the image that is coming has others for.
      for (const layer of layers.toSorted((a, b) => isShared(a) - isShared(b)))
        yield { covers: WHOLE_LAYER, tar: plain(layer) };
    },
  };
}
