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
  /** Gives the repository its name. */
  image: Reference;
  content: IndexContent;
  stored: StoredBlobs;
  /** Of the receiver's engine: what its person is told of the image. */
  receiverPlatform: Platform | undefined;
  isRemote?: boolean;
  /** Returns the Failure for a blob that could not be read. */
  toFailure: (error: unknown) => unknown;
}

/**
 * Returns an image with its index as a source finds it. Its "layers" are all blobs of its manifests, configs among them, by their own digests:
 * two platforms may have one layer as different blobs, and both are kept.
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

/** The manifest of one image does not name its platform. */
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
      // The receiver has it from the `about`, and asks for no config.
      outgoing.finish(content.root.bytes, content.root);
    },
    wholeImage: async () => {
      throw new Failure("refused", "an engine that pulls by itself takes one platform of an index", {
        expected: "a receiving side without --via pull, because of --all-platforms or several --platform",
        hint: "Leave --via pull out there.",
      });
    },
  };
}

/** Returns a blob as it is announced: a config or an attestation as a plain layer, whose bytes are verified by the digest alone. */
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
