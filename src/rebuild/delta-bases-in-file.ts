import type { Readable } from "node:stream";
import { parseArchivedName } from "../image/archived-name.ts";
import type { ArchivedImage, ArchivedLayer, ImageArchive } from "../image/archive/image-archive.ts";
import { openArchive } from "../image/open/open-archive.ts";
import type { Digest } from "../image/digest.ts";
import { decompressLayer } from "../image/layer/decompress-layer.ts";
import type { FileLocation } from "../image/location.ts";
import { WHOLE_LAYER, type DeltaBaseImage, type DeltaBases } from "./delta-bases.ts";
import { findBaseLayer } from "./find-base-layer.ts";
import type { Platform } from "../image/platform.ts";

/** Images whose layers are read: the most similar image has nearly all pieces that any image has. */
const MAX_IMAGES = 2;
/** Images that are compared, the last added first: a layout may contain years of builds. */
const MAX_COMPARED = 100;

/**
 * Finds the images of an archive or a layout that are most similar to the incoming image: those that share the most layers; among equals,
 * the last added. Returns undefined if there is no such image, or if the file cannot be read.
 */
export async function findDeltaBasesInFile(
  { kind, path }: FileLocation,
  { diffIds, platform }: { diffIds: readonly Digest[]; platform: Platform },
): Promise<DeltaBases | undefined> {
  // If the file is damaged, or in another format, only more data is sent.
  const archive = await openArchive(kind, path).catch(() => undefined);
  if (archive === undefined) return undefined;
  const present = await imagesOf(archive, platform);
  const shared = (image: ArchivedImage): number => image.diffIds.filter((diffId) => diffIds.includes(diffId)).length;
  const nearest = present.toSorted((a, b) => shared(b) - shared(a)).slice(0, MAX_IMAGES);
  const images = nearest.map((image) => deltaBaseImage(image, diffIds));
  if (images.length > 0) return { images, reads: "blobs", [Symbol.asyncDispose]: async () => await archive.close() };
  await archive.close();
  return undefined;
}

/** Returns the images whose layers are all in the archive, the last added first. */
async function imagesOf(archive: ImageArchive, platform: Platform): Promise<ArchivedImage[]> {
  const found: ArchivedImage[] = [];
  for (const { names } of archive.list().toReversed().slice(0, MAX_COMPARED)) {
    const image = await archive
      .find(names[0] === undefined ? undefined : parseArchivedName(names[0]), platform)
      .catch(() => undefined);
    if (image?.layers.every(({ absent }) => absent === undefined)) found.push(image);
  }
  return found;
}

/** An archive provides only complete layers, whatever folders are requested. */
function deltaBaseImage(
  { layers, diffIds, names, configDigest }: ArchivedImage,
  incoming: readonly Digest[],
): DeltaBaseImage {
  const isShared = ({ diffId }: ArchivedLayer): number => (incoming.includes(diffId) ? 1 : 0);
  const plain = ({ open, blob }: ArchivedLayer): Readable => decompressLayer(open(), blob.mediaType);
  return {
    name: async () => names[0] ?? configDigest,
    async baseLayer(diffId) {
      const layer = layers[findBaseLayer(incoming, diffIds, diffId) ?? -1];
      return layer && plain(layer);
    },
    async *tars() {
      // Starts with the layers that the incoming image replaces.
      for (const layer of layers.toSorted((a, b) => isShared(a) - isShared(b)))
        yield { covers: WHOLE_LAYER, tar: plain(layer) };
    },
  };
}
