import type { Readable } from "node:stream";
import { absentLayer } from "../archive/absent-layer.ts";
import type { RandomAccessFiles } from "../archive/archive-files.ts";
import { chooseImage, type Candidate } from "../archive/choose-image.ts";
import { firstBytes } from "../archive/first-bytes.ts";
import type { ArchivedImage, ArchivedLayer, ArchivedRoots, ImageArchive } from "../archive/image-archive.ts";
import type { Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { correctMediaType, isLayerType } from "../layer/compression.ts";
import { verifiedStream } from "../layer/verified-stream.ts";
import type { Descriptor } from "../manifest.ts";
import { platformOf } from "../platform.ts";
import { listOciEntries, type OciEntry } from "./oci-entries.ts";
import { readOciImage, type OciImage } from "./oci-image.ts";
import { blobPath } from "./oci-layout.ts";
import { readRoot } from "./oci-roots.ts";
import { readBlob } from "./read-blob.ts";

/** Bytes. The file contains `{"imageLayoutVersion":"1.0.0"}`. */
const MAX_LAYOUT_FILE = 4096;

/**
 * Opens an OCI layout, in a folder or in a tar (OCI image spec, image-layout.md). Owns `files` when it resolves.
 * Throws `InvalidImage`, and the file system's errors.
 */
export async function openOciLayout(files: RandomAccessFiles): Promise<ImageArchive> {
  await refuseOtherVersion(files);
  const entries = await listOciEntries(files);
  const candidates = entries.map((entry) => candidateOf(files, entry));
  return {
    list: () =>
      candidates.map(({ names, platform, digest }) => ({
        names,
        ...(digest && { digest }),
        ...(platform && { platform }),
      })),
    roots: rootsOf(files),
    find: async (name, platform) => await withLayers(files, await chooseImage(candidates, name, platform)),
    close: files.close,
    [Symbol.asyncDispose]: files.close,
  };
}

function candidateOf(files: RandomAccessFiles, entry: OciEntry): Candidate<OciImage> {
  const { names, descriptor } = entry;
  const { os, architecture, variant } = descriptor.platform ?? {};
  const platform = os || architecture ? platformOf({ os, architecture, variant }) : undefined;
  return {
    id: descriptor.digest,
    names,
    digest: descriptor.digest,
    ...(platform && { platform }),
    read: async () => await readOciImage(files, entry),
  };
}

function rootsOf(files: RandomAccessFiles): ArchivedRoots {
  return {
    read: async (name) => await readRoot(files, name),
    async present(blobs) {
      const sizes = await Promise.all(blobs.map(async ({ digest }) => await files.sizeOf(blobPath(digest))));
      return new Set(blobs.filter(({ size }, index) => sizes[index] === size).map(({ digest }) => digest));
    },
    async readSmall(blob, max) {
      const exists = (await files.sizeOf(blobPath(blob.digest))) !== undefined;
      return exists ? await readBlob(files, blob, max) : undefined;
    },
    open: ({ digest, size }) => verifiedStream(files.open(blobPath(digest)), { what: digest, digest, size }),
  };
}

async function withLayers(files: RandomAccessFiles, image: OciImage): Promise<ArchivedImage> {
  const layers: ArchivedLayer[] = [];
  for (const { diffId, blob } of image.layers) layers.push(await archivedLayer(files, diffId, blob));
  const hasWrongMediaTypes = layers.some(({ blob }, index) => blob.mediaType !== image.layers[index]?.blob.mediaType);
  return { ...image, layers, manifest: { ...image.manifest, ...(hasWrongMediaTypes && { hasWrongMediaTypes }) } };
}

async function archivedLayer(files: RandomAccessFiles, diffId: Digest, blob: Descriptor): Promise<ArchivedLayer> {
  const { digest, urls = [] } = blob;
  const path = blobPath(digest);
  const size = await files.sizeOf(path);
  if (size === undefined) return { diffId, blob, ...absentLayer(path, urls) };
  if (size !== blob.size) throw new InvalidImage(`${digest} has ${size} bytes, its descriptor states ${blob.size}`);
  const { mediaType: declared } = blob;
  const mediaType = isLayerType(declared) ? correctMediaType(declared, await firstBytes(files, path)) : declared;
  const open = (): Readable => verifiedStream(files.open(path), { what: `layer ${diffId}`, digest, size });
  return { diffId, blob: { mediaType, digest, size }, open };
}

async function refuseOtherVersion(files: RandomAccessFiles): Promise<void> {
  const text = (await files.read("oci-layout", MAX_LAYOUT_FILE)).toString("utf8");
  const [, version = ""] = /"imageLayoutVersion"\s*:\s*"([^"]*)"/.exec(text) ?? [];
  if (!version.startsWith("1.")) throw new InvalidImage("its oci-layout names no version 1 of the format");
}
