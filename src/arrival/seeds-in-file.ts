import { decodeLayer } from "../image/archive/decode-layer.ts";
import type { ArchivedImage, ArchivedLayer, ImageArchive } from "../image/archive/image-archive.ts";
import { openArchive } from "../image/archive/open.ts";
import type { Digest } from "../image/digest.ts";
import type { FilePlace } from "../image/place.ts";
import type { Seeds } from "./seeds.ts";

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
  if (nearest.length > 0) return new FileSeeds(archive, nearest, new Set(diffIds));
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

class FileSeeds implements Seeds {
  readonly #archive: ImageArchive;
  readonly #images: readonly ArchivedImage[];
  readonly #coming: ReadonlySet<Digest>;

  constructor(archive: ImageArchive, images: readonly ArchivedImage[], coming: ReadonlySet<Digest>) {
    this.#archive = archive;
    this.#images = images;
    this.#coming = coming;
  }

  /** Whole layers, in whatever folders: first those that the new image has others for. */
  async *tars(): AsyncGenerator<AsyncIterable<Buffer>> {
    const layers = new Map<Digest, ArchivedLayer>();
    for (const image of this.#images) for (const layer of image.layers) layers.set(layer.diffId, layer);
    const isShared = ({ diffId }: ArchivedLayer): number => (this.#coming.has(diffId) ? 1 : 0);
    for (const { open, blob } of [...layers.values()].toSorted((a, b) => isShared(a) - isShared(b))) {
      yield decodeLayer(open(), blob.mediaType);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#archive.close();
  }
}
