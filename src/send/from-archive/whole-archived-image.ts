import { createReadStream, createWriteStream } from "node:fs";
import { addAbortSignal, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Offer } from "../../conversation/messages.ts";
import type { ArchivedImage, ArchivedLayer } from "../../image/archive/image-archive.ts";
import { digestVerifier } from "../../image/layer/verify-digest.ts";
import { passThroughVerifier } from "../../image/layer/verified-stream.ts";
import { hexOf, type Digest } from "../../image/digest.ts";
import { MEDIA_TYPE, encodeManifest, type Descriptor } from "../../image/manifest.ts";
import type { RegistryContent, StoredBlob } from "../../registry/embedded/pull/registry-content.ts";
import type { LazySpool } from "../../run/spool.ts";
import { gzip } from "../../streams/gzip.ts";
import { isPlain } from "../archived-blob.ts";

interface WholeImage {
  image: ArchivedImage;
  /** The stored manifest, if its media types are right. */
  manifest: ArchivedImage["manifest"];
  offer: Offer;
}

interface WholeImageOptions {
  spool: LazySpool;
  blobOf: (layer: ArchivedLayer) => StoredBlob;
  signal: AbortSignal;
}

/**
 * Returns a whole archived image, for an engine that pulls by itself. The manifest of an OCI layout is served as it is stored, so that it
 * keeps its digest. The manifest of a docker archive is composed, and plain layers are first gzipped into files, because such an engine
 * does not unpack the packing of the transfer.
 */
export async function wholeArchivedImage(
  { image, manifest: stored, offer: { repository, tag } }: WholeImage,
  { spool, blobOf, signal }: WholeImageOptions,
): Promise<RegistryContent> {
  const { config, configDigest } = image;
  const configBlob = { size: config.length, open: () => Readable.from([config]) };
  const blobs = new Map<Digest, StoredBlob>([[configDigest, configBlob]]);
  const layers = new Map<Digest, Descriptor>();
  for (const layer of image.layers) {
    const asStored = stored !== undefined || !isPlain(layer);
    if (!asStored && layers.has(layer.diffId)) continue; // the layer occurs twice in the image
    if (asStored) {
      const descriptor = await describeLayer(layer, signal);
      layers.set(layer.diffId, descriptor);
      blobs.set(descriptor.digest, blobOf(layer));
    } else {
      const path = (await spool.open()).pathFor(hexOf(layer.diffId));
      const descriptor = await gzipLayer(layer, path, signal);
      layers.set(layer.diffId, descriptor);
      blobs.set(descriptor.digest, fileBlob(path, descriptor));
    }
  }
  const { bytes, descriptor } = stored ?? composeManifest(image, layers);
  const manifest = { mediaType: descriptor.mediaType, digest: descriptor.digest, bytes };
  return {
    manifest: async (name, reference) =>
      name === repository && (reference === tag || reference === manifest.digest) ? manifest : undefined,
    blob: async (name, digest) => (name === repository ? blobs.get(digest) : undefined),
    tags: async (name) => (name === repository ? [tag] : undefined),
  };
}

/** Returns a stored layer's descriptor. Reads a compressed layer of a docker archive, because the archive does not contain its digest. */
export async function describeLayer({ blob, open }: ArchivedLayer, signal: AbortSignal): Promise<Descriptor> {
  const { mediaType, digest, size } = blob;
  if (digest !== undefined) return { mediaType, digest, size };
  const bytes = digestVerifier({ what: "a layer", size });
  for await (const chunk of addAbortSignal(signal, open())) bytes.take(chunk as Buffer);
  return { mediaType, ...bytes.finish() };
}

function composeManifest({ config, configDigest, diffIds }: ArchivedImage, layers: ReadonlyMap<Digest, Descriptor>) {
  return encodeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: configDigest, size: config.length },
    layers: diffIds.flatMap((diffId) => layers.get(diffId) ?? []),
  });
}

/** Gzips a plain layer into a new file. */
async function gzipLayer({ diffId, open }: ArchivedLayer, path: string, signal: AbortSignal): Promise<Descriptor> {
  const gzipped = digestVerifier({ what: `layer ${diffId}` });
  const file = createWriteStream(path, { flags: "wx", mode: 0o600 });
  await pipeline(passThroughVerifier(gzip(open()), gzipped), file, { signal });
  return { mediaType: MEDIA_TYPE.ociLayerGzip, ...gzipped.finish() };
}

function fileBlob(path: string, { size }: Descriptor): StoredBlob {
  return {
    size,
    open: ({ first, last } = { first: 0, last: size - 1 }) => createReadStream(path, { start: first, end: last }),
  };
}
