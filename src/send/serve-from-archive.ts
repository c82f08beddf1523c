import { createReadStream, createWriteStream } from "node:fs";
import { addAbortSignal, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Offer } from "../conversation/messages.ts";
import { isNoSpace } from "../files/no-space.ts";
import { quoted } from "../image/tar/entry-path.ts";
import type { ArchivedImage, ArchivedLayer } from "../image/archive/image-archive.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { passThroughVerifier } from "../image/layer/verified-stream.ts";
import { digestVerifier } from "../image/layer/verify-digest.ts";
import { hexOf, type Digest } from "../image/digest.ts";
import { MEDIA_TYPE, encodeManifest, type Descriptor } from "../image/manifest.ts";
import type { FileLocation } from "../image/location.ts";
import type { Reference } from "../image/reference.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { PacedPacker } from "../packing/paced-packer.ts";
import type { RegistryContent, StoredBlob } from "../registry/embedded/registry-content.ts";
import { layerFailure } from "../store/layer-failure.ts";
import type { LazySpool } from "../run/spool.ts";
import { gzip } from "../streams/gzip.ts";
import { damaged } from "./archive-errors.ts";
import { archivedBlob, isPlain } from "./archived-blob.ts";
import type { OfferedImage, OfferOptions } from "./found-image.ts";
import { serve } from "./serve-from-embedded-registry.ts";

export interface ImageInArchive {
  location: FileLocation;
  image: ArchivedImage;
  /** What the receiver calls it. */
  asked: Reference;
}

/** Serves an image from its archive, which is read when a layer is asked for: nothing is copied. */
export async function serveFromArchive(
  { location, image, asked }: ImageInArchive,
  options: OfferOptions,
): Promise<OfferedImage> {
  const { want } = options;
  refuseAbsent(location, image, (diffId) => want.kind === "image" || want.diffIds.includes(diffId));
  const stored = image.manifest?.hasWrongMediaTypes === true ? undefined : image.manifest;
  const broken = new AbortController();
  const onError = (error: unknown): void => broken.abort(failureOf(error, location));
  const packer = options.packing.codec && new PacedPacker(options.packing);
  const blobOf = (layer: ArchivedLayer): StoredBlob => archivedBlob(layer, { packer, onError });
  const wanted = new Set(want.diffIds);
  const offered = await serve(
    {
      image: asked,
      diffIds: image.diffIds,
      explain: (error) => failureOf(error, location),
      async fill(outgoing, _registry, signal) {
        try {
          for (const layer of image.layers) {
            if (!wanted.delete(layer.diffId)) continue; // not wanted, or twice in the image
            await outgoing.keep(layer.diffId, await describe(layer, signal), blobOf(layer));
          }
          outgoing.finish(image.config, stored);
        } catch (error) {
          onError(error);
        }
      },
      async whole(offer, _registry, spool) {
        const all = { image, stored, offer };
        return await wholeImage(all, { spool, blobOf, signal: options.signal }).catch((error: unknown) => {
          throw failureOf(error, location);
        });
      },
    },
    options,
  );
  return { ...offered, signal: AbortSignal.any([offered.signal, broken.signal]) };
}

function failureOf(error: unknown, location: FileLocation): unknown {
  if (error instanceof InvalidImage) return damaged(location, error);
  if (isNoSpace(error)) return layerFailure(error, "sent");
  if (error instanceof Failure || (error as NodeJS.ErrnoException).code === undefined) return error;
  return new Failure("transfer-failed", `${location.path} cannot be read any more: ${messageOf(error)}`, {
    expected: "it to stay as it is until the image has been sent",
    hint: "Run the same command again.",
    cause: error,
  });
}

/** What a manifest says of a layer. A docker archive does not know the digest of one that is packed: it is read for that. */
async function describe({ blob, open }: ArchivedLayer, signal: AbortSignal): Promise<Descriptor> {
  const { mediaType, digest, size } = blob;
  if (digest !== undefined) return { mediaType, digest, size };
  const bytes = digestVerifier({ what: "a layer", size });
  for await (const chunk of addAbortSignal(signal, open())) bytes.take(chunk as Buffer);
  return { mediaType, ...bytes.finish() };
}

/** Of an image without its base, whoever receives it must have that. */
function refuseAbsent({ path }: FileLocation, { layers }: ArchivedImage, isWanted: (diffId: Digest) => boolean): void {
  const layer = layers.find(({ diffId, absent }) => absent !== undefined && isWanted(diffId));
  if (layer === undefined) return;
  const [url] = layer.absent?.urls ?? [];
  throw new Failure(
    "image-not-found",
    `the layer ${layer.diffId} is not in ${path}, and the receiving side does not have it`,
    {
      expected: "each layer on one of the two sides",
      hint:
        url === undefined
          ? "Load or pull the image's base on the receiving side first, or save the image with all of its layers."
          : `It is to be had at ${quoted(url)}, and is not passed on: pull an image with it on the receiving side first.`,
    },
  );
}

interface WholeImage {
  image: ArchivedImage;
  /** Its manifest, if that can be given. */
  stored: ArchivedImage["manifest"];
  offer: Offer;
}

interface WholeOptions {
  spool: LazySpool;
  blobOf: (layer: ArchivedLayer) => StoredBlob;
  signal: AbortSignal;
}

/**
 * All of an image, for an engine that pulls by itself. The manifest of an OCI layout is given as it is stored, so that it keeps
 * its digest; that of a docker archive is composed, of layers that are gzipped first, because such an engine unpacks no other
 * packing for the way.
 */
async function wholeImage(
  { image, stored, offer: { repository, tag } }: WholeImage,
  { spool, blobOf, signal }: WholeOptions,
): Promise<RegistryContent> {
  const { config, configDigest: digest } = image;
  const blobs = new Map<Digest, StoredBlob>([[digest, { size: config.length, open: () => Readable.from([config]) }]]);
  const layers = new Map<Digest, Descriptor>();
  for (const layer of image.layers) {
    const asStored = stored !== undefined || !isPlain(layer);
    if (!asStored && layers.has(layer.diffId)) continue; // twice in the image
    if (asStored) {
      const descriptor = await describe(layer, signal);
      layers.set(layer.diffId, descriptor);
      blobs.set(descriptor.digest, blobOf(layer));
    } else {
      const path = (await spool.open()).pathFor(hexOf(layer.diffId));
      const descriptor = await gzipped(layer, path, signal);
      layers.set(layer.diffId, descriptor);
      blobs.set(descriptor.digest, fileBlob(path, descriptor));
    }
  }
  const { bytes, descriptor } = stored ?? composed(image, layers);
  const manifest = { mediaType: descriptor.mediaType, digest: descriptor.digest, bytes };
  return {
    manifest: async (name, reference) =>
      name === repository && (reference === tag || reference === manifest.digest) ? manifest : undefined,
    blob: async (name, wanted) => (name === repository ? blobs.get(wanted) : undefined),
    tags: async (name) => (name === repository ? [tag] : undefined),
  };
}

function composed({ config, configDigest, diffIds }: ArchivedImage, layers: ReadonlyMap<Digest, Descriptor>) {
  return encodeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: configDigest, size: config.length },
    layers: diffIds.flatMap((diffId) => layers.get(diffId) ?? []),
  });
}

/** A plain layer, gzipped into a new file. */
async function gzipped({ diffId, open }: ArchivedLayer, path: string, signal: AbortSignal): Promise<Descriptor> {
  const packed = digestVerifier({ what: `layer ${diffId}` });
  const file = createWriteStream(path, { flags: "wx", mode: 0o600 });
  await pipeline(passThroughVerifier(gzip(open()), packed), file, { signal });
  return { mediaType: MEDIA_TYPE.ociLayerGzip, ...packed.finish() };
}

function fileBlob(path: string, { size }: Descriptor): StoredBlob {
  return {
    size,
    open: ({ first, last } = { first: 0, last: size - 1 }) => createReadStream(path, { start: first, end: last }),
  };
}
