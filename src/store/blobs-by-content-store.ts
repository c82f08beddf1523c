import { Readable } from "node:stream";
import type { EngineImages } from "../engine/engine-images.ts";
import { BlobGone, type ContentBlob, type ContentStore } from "../engine/content-store.ts";
import { EngineError } from "../engine/engine-error.ts";
import { compressionOf, layerMediaType, MAGIC_LENGTH } from "../image/layer/compression.ts";
import { decompressLayer } from "../image/layer/decompress-layer.ts";
import type { Digest } from "../image/digest.ts";
import { type Descriptor, type Manifest } from "../image/manifest.ts";
import type { RelatedImage } from "./related-images.ts";
import type { ContainerdBlobs, KnownImage } from "./containerd-blobs.ts";
import type { PresentLayer } from "./store.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { MAX_CONFIG } from "../image/config.ts";

export interface AskOptions {
  /** The images that share layers with the one that comes. */
  relatedImages: () => Promise<readonly RelatedImage[]>;
  /** The manifest of one of them. */
  manifestOf: (id: string) => Promise<Manifest | undefined>;
  signal: AbortSignal;
  /** For --verbose. */
  onDetail: (text: string) => void;
}

/**
 * By the engine's own word: one question tells which blob holds which layer, whatever image it came with. Its first bytes are read
 * as well: they tell the media type, and that it can be read. An answer that is of no use makes layers missing, which are sent then.
 */
export function blobsByContentStore(
  engine: Pick<EngineImages, "inspectImage">,
  content: ContentStore,
  { relatedImages, manifestOf, signal, onDetail }: AskOptions,
): ContainerdBlobs {
  return {
    async present(diffIds, named) {
      const wanted = new Set(diffIds);
      const blobs = await orNothing(
        "which layers it holds",
        [],
        async () =>
          await content.find({ diffIds: [...wanted], digests: named?.map(({ digest }) => digest) ?? [] }, signal),
      );
      const found = new Map<Digest, PresentLayer>();
      const unlabelled = new Map<Digest, ContentBlob>();
      for (const [index, { digest }] of named?.entries() ?? []) {
        const blob = blobs.find((one) => one.digest === digest && one.diffId === undefined);
        if (blob !== undefined) unlabelled.set(diffIds[index] ?? "", blob);
      }
      const known = await knownByImages(unlabelled);
      await Promise.all(
        [...wanted].map(async (diffId) => {
          const fits = (blob: ContentBlob): boolean =>
            blob.diffId === diffId && (named === undefined || named[diffIds.indexOf(diffId)]?.digest === blob.digest);
          const blob = blobs.find(fits) ?? known.get(diffId);
          const descriptor = blob && (await describe(blob, diffId));
          if (descriptor !== undefined) found.set(diffId, { kind: "here", diffId, blob: descriptor });
        }),
      );
      const end = diffIds.findIndex((diffId) => !found.has(diffId));
      const lowest = end === -1 ? diffIds.length : end;
      const here = diffIds.slice(0, lowest).flatMap((diffId) => found.get(diffId) ?? []);
      const above = new Set(diffIds.slice(lowest));
      return { here, stored: [...above].flatMap((diffId) => found.get(diffId) ?? []) };
    },

    async known(digest, diffIds) {
      const nothing: KnownImage = {};
      return await orNothing("whether it has the image", nothing, async () => {
        const blobs = await content.find({ digests: [digest], config: digest }, signal);
        const manifests = blobs.filter(({ names }) => names.includes(digest)).map((blob) => blob.digest);
        for (const manifest of manifests) {
          const image = await engine.inspectImage(manifest);
          if (image?.id === manifest && image.diffIds.join() === diffIds.join()) return { id: manifest };
        }
        const isHere = blobs.some((blob) => blob.digest === digest);
        return { config: isHere ? await content.readSmall(digest, MAX_CONFIG, signal) : undefined };
      });
    },

    async layerOf({ diffIds }, index) {
      const [diffId = ""] = diffIds.slice(index);
      const ask = async (): Promise<ContentBlob[]> => await content.find({ diffIds: [diffId] }, signal);
      const blobs = await orNothing(`which blob holds ${diffId}`, [], ask);
      const blob = blobs.find((one) => one.diffId === diffId && isSize(one.size));
      if (blob === undefined) return undefined;
      const packed = content.read(blob.digest, { size: blob.size, signal });
      return decompressLayer(Readable.from(packed, { objectMode: false }));
    },
  };

  /**
   * A blob that came while its layer was there in other bytes has not been unpacked, and so the store does not say what it holds. Those
   * of them that an image here has for that layer: the sender's word is not enough, which could name any blob.
   */
  async function knownByImages(blobs: ReadonlyMap<Digest, ContentBlob>): Promise<Map<Digest, ContentBlob>> {
    const known = new Map<Digest, ContentBlob>();
    if (blobs.size === 0) return known;
    const holders = (await relatedImages()).filter((relative) => relative.diffIds.some((diffId) => blobs.has(diffId)));
    for (const { id, diffIds } of holders.slice(0, MAX_MANIFESTS)) {
      if (known.size === blobs.size) break;
      const { layers = [] } = (await orNothing("what an image consists of", undefined, () => manifestOf(id))) ?? {};
      for (const [index, diffId] of diffIds.entries()) {
        const blob = blobs.get(diffId);
        if (blob !== undefined && layers.length === diffIds.length && layers[index]?.digest === blob.digest)
          known.set(diffId, blob);
      }
    }
    return known;
  }

  async function describe({ digest, size }: ContentBlob, diffId: Digest): Promise<Descriptor | undefined> {
    if (!isSize(size)) return undefined;
    return await orNothing(`the blob ${digest}`, undefined, async () => {
      const start: Buffer[] = [];
      const length = Math.min(MAGIC_LENGTH, size);
      for await (const chunk of content.read(digest, { size, length, signal })) start.push(chunk);
      const isPlain = digest === diffId;
      return { mediaType: layerMediaType(isPlain ? "none" : compressionOf(Buffer.concat(start))), digest, size };
    });
  }

  async function orNothing<T>(what: string, nothing: T, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof EngineError || error instanceof BlobGone || error instanceof InvalidImage)) throw error;
      onDetail(`the engine does not tell ${what}: ${error.message}`);
      return nothing;
    }
  }
}

/** Images that are asked for their manifests, of 5 ms each. */
const MAX_MANIFESTS = 16;

/** An engine may list any. No layer is empty. */
function isSize(size: number): boolean {
  return Number.isSafeInteger(size) && size > 0;
}
