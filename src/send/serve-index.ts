import { Readable } from "node:stream";
import { compressionInMediaType, isLayerType } from "../image/layer/compression.ts";
import type { IndexContent } from "../image/index-content.ts";
import { MEDIA_TYPE, type Descriptor } from "../image/manifest.ts";
import type { Platform } from "../image/platform.ts";
import type { Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { PacedPacker } from "../packing/paced-packer.ts";
import type { StoredBlob } from "../registry/embedded/pull/registry-content.ts";
import { unlessReaderLeft } from "./archived-blob.ts";
import type { FoundImage, OfferOptions } from "./found-image.ts";
import type { StoredBlobs } from "./read-index.ts";
import { serveFromEmbeddedRegistry } from "./serve-from-embedded-registry.ts";
import type { ServedImage } from "./served-image.ts";

export interface IndexToServe {
  /** Determines the name of the repository. */
  image: Reference;
  content: IndexContent;
  stored: StoredBlobs;
  /** The platform of the receiver's engine, which messages about the image name. */
  receiverPlatform: Platform | undefined;
  isRemote?: boolean;
  /** Returns the Failure for a blob that could not be read. */
  toFailure: (error: unknown) => unknown;
}

/**
 * Returns an image with its index, in the form in which a source finds images. Its "layers" are all blobs of its manifests, including
 * configs, by their own digests: two platforms may have one layer as different blobs, and both are preserved.
 */
export function foundIndex({ isRemote = false, ...index }: IndexToServe): FoundImage {
  const { content, receiverPlatform } = index;
  const { platforms, blobs } = content;
  const isReceivers = ({ os, architecture }: Platform): boolean =>
    os === receiverPlatform?.os && architecture === receiverPlatform.architecture;
  const served = async (options: OfferOptions): Promise<ServedImage> => serveIndex(index, options);
  return {
    diffIds: blobs.map(({ digest }) => digest),
    platform: platforms.find(isReceivers) ?? platforms[0] ?? UNNAMED,
    index: content,
    sizes: async () => blobs.map(({ size }) => size),
    isRemote,
    served,
    offer: async (options) => await serveFromEmbeddedRegistry(await served(options), options),
  };
}

/** The platform of an image whose manifest does not name it. */
const UNNAMED: Platform = { os: "unknown", architecture: "unknown" };

function serveIndex({ image, content, stored, toFailure }: IndexToServe, options: OfferOptions): ServedImage {
  const { want, packing, signal } = options;
  const broken = new AbortController();
  const onError = (error: unknown): void => broken.abort(toFailure(error));
  const packer = packing.codec && new PacedPacker(packing);
  const wanted = new Set(want.diffIds);
  return {
    image,
    diffIds: content.blobs.map(({ digest }) => digest),
    broken: broken.signal,
    toFailure,
    async exportLayers(outgoing) {
      for (const blob of content.blobs) {
        if (!wanted.has(blob.digest)) continue;
        await outgoing.addStored(blob.digest, onLink(blob), blobOf(blob, stored, { packer, onError, signal }));
      }
      // The receiver has the root from the `about`, and requests no config.
      outgoing.finish(content.root.bytes, content.root);
    },
    wholeImage: async () => {
      throw new Failure("refused", "an engine that pulls by itself pulls one platform of an index", {
        expected: "a receiving side without --via pull, because of --all-platforms or several --platform",
        hint: "Omit --via pull on the receiving side.",
      });
    },
  };
}

/** Returns the descriptor that announces a blob. A config or an attestation is announced as a plain layer, verified only by its digest. */
function onLink({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType: isLayerType(mediaType) ? mediaType : MEDIA_TYPE.ociLayer, digest, size };
}

interface BlobOptions {
  packer: PacedPacker | undefined;
  onError: (error: unknown) => void;
  signal: AbortSignal;
}

function blobOf(blob: Descriptor, stored: StoredBlobs, { packer, onError, signal }: BlobOptions): StoredBlob {
  const { mediaType, size } = blob;
  const open: (range?: { first: number; last: number }) => Readable = (range) =>
    stored.open(blob, range, signal).on("error", unlessReaderLeft(onError));
  const isPacked = packer !== undefined && compressionInMediaType(mediaType) === "none";
  return {
    size,
    isInFile: stored.isInFile,
    open,
    ...(isPacked && {
      packed: (first: number) => ({
        first,
        stream: Readable.from(packer.pack(open({ first, last: size - 1 })), { objectMode: false }),
      }),
      packedSize: async (rate: number) => await packer.sizeOf(open(), size, rate),
    }),
  };
}
