import type { Readable } from "node:stream";
import { absentLayer } from "../archive/absent-layer.ts";
import type { RandomAccessFiles } from "../archive/archive-files.ts";
import { chooseImage } from "../archive/choose-image.ts";
import { firstBytes } from "../archive/first-bytes.ts";
import type { ArchivedImage, ArchivedLayer, ImageArchive } from "../archive/image-archive.ts";
import { MAX_CONFIG, parseConfig } from "../config.ts";
import { digestOf } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { correctMediaType } from "../layer/compression.ts";
import { verifiedStream } from "../layer/verified-stream.ts";
import { MEDIA_TYPE, type Descriptor } from "../manifest.ts";
import { blobPath } from "../oci/oci-layout.ts";
import {
  MAX_PARTIAL_FILE,
  parsePartialImage,
  PARTIAL_FILE,
  type PartialImage,
  type PartialLayer,
} from "./partial-image.ts";

/** Returns whether an archive is a partial archive. */
export async function isPartialArchive(files: RandomAccessFiles): Promise<boolean> {
  return (await files.sizeOf(PARTIAL_FILE)) !== undefined;
}

/**
 * Opens a partial archive, which contains one image. Owns `files` when it resolves. Throws `InvalidImage`, and the file system's errors.
 */
export async function openPartialArchive(files: RandomAccessFiles): Promise<ImageArchive> {
  const partial = parsePartialImage(await files.read(PARTIAL_FILE, MAX_PARTIAL_FILE));
  const names = [...partial.names];
  const candidate = { id: partial.config, names, read: async () => await readImage(files, partial) };
  return {
    isPartial: true,
    list: () => [{ names }],
    find: async (name, platform) => await chooseImage([candidate], name, platform),
    close: files.close,
    [Symbol.asyncDispose]: files.close,
  };
}

async function readImage(files: RandomAccessFiles, partial: PartialImage): Promise<ArchivedImage> {
  const config = await files.read(blobPath(partial.config), MAX_CONFIG);
  if (digestOf(config) !== partial.config) throw new InvalidImage(`its config has the digest ${digestOf(config)}`);
  const { diffIds, platform } = parseConfig(config);
  if (partial.layers.map(({ diffId }) => diffId).join() !== diffIds.join()) {
    throw new InvalidImage(`its ${PARTIAL_FILE} names other layers than its config`);
  }
  const layers: ArchivedLayer[] = [];
  for (const layer of partial.layers) layers.push(await archivedLayer(files, layer));
  const { base, listed } = partial;
  return {
    config,
    configDigest: partial.config,
    diffIds,
    platform,
    names: [...partial.names],
    layers,
    partial: { listed, ...(base && { base }) },
  };
}

async function archivedLayer(files: RandomAccessFiles, layer: PartialLayer): Promise<ArchivedLayer> {
  const { diffId } = layer;
  if (layer.way === "present") {
    return {
      diffId,
      blob: { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: 0 },
      ...absentLayer(blobPath(diffId)),
    };
  }
  const { blob } = layer;
  const path = blobPath(blob.digest);
  const open = await openBlob(files, diffId, blob);
  if (layer.way === "by-delta") {
    const plain = { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: layer.size };
    return { diffId, blob: plain, ...absentLayer(path), delta: { open } };
  }
  const mediaType = correctMediaType(blob.mediaType, await firstBytes(files, path));
  return { diffId, blob: { mediaType, digest: blob.digest, size: blob.size }, open };
}

/** Checks that a blob exists with the right size. Returns a function that opens it as a verified stream. */
async function openBlob(
  files: RandomAccessFiles,
  diffId: string,
  { digest, size: expected }: Descriptor,
): Promise<() => Readable> {
  const path = blobPath(digest);
  const size = await files.sizeOf(path);
  if (size !== expected) {
    throw new InvalidImage(
      size === undefined
        ? `it lacks ${digest}, which it should contain`
        : `${digest} has ${size} bytes, not ${expected}`,
    );
  }
  return () => verifiedStream(files.open(path), { what: `layer ${diffId}`, digest, size });
}
