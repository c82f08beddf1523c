import type { EngineImages } from "../engine/engine-images.ts";
import { forgetName } from "../engine/temporary-name.ts";
import { blobPath } from "../image/oci/oci-layout.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { tarEntries } from "../image/tar/tar-entries.ts";
import { writeOciArchive } from "../image/oci/write-oci-archive.ts";
import { digestOf, type Digest } from "../image/digest.ts";
import { MAX_MANIFEST, MEDIA_TYPE, encodeManifest, type Descriptor } from "../image/manifest.ts";

/** A blob that is streamed out of an engine. */
export interface SavedBlob {
  digest: Digest;
  chunks: () => AsyncGenerator<Buffer>;
}

/**
 * Streams blobs out of a containerd store whose content store is not accessible, in any order. Yields no blob if one of them is missing. No
 * call of the API returns a blob, but `docker save` writes every blob that a manifest names. This function loads an image that names the
 * blobs as layers (1 kB), saves it, and removes it. The media type is not that of a layer, so that the engine does not unpack them: 26.1
 * and 28.5 treat such an image as an attestation. 29.7 does not save it, so this function yields nothing.
 *
 * @param name a temporary name, which is removed
 */
export async function* saveBlobs(
  engine: EngineImages,
  blobs: readonly Pick<Descriptor, "digest" | "size">[],
  name: string,
): AsyncGenerator<SavedBlob> {
  const rootfs = { type: "layers", diff_ids: blobs.map(({ digest }) => digest) };
  const config = Buffer.from(JSON.stringify({ architecture: "unknown", os: "unknown", rootfs }));
  const manifest = encodeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
    layers: blobs.map(({ digest, size }) => ({ mediaType: "application/octet-stream", digest, size })),
  });
  const paths = new Map(blobs.map((blob) => [blobPath(blob.digest), blob]));
  try {
    await engine.loadImage(writeOciArchive({ config, manifest, blobs: [], names: [name] }));
    for await (const entry of tarEntries(await engine.saveImage(name))) {
      const blob = paths.get(entry.path);
      if (blob === undefined) continue;
      if (entry.size > blob.size)
        throw new InvalidImage(`${entry.path} in the archive is larger than the size in its descriptor`);
      yield { digest: blob.digest, chunks: () => entry.chunks() };
    }
  } finally {
    await forgetName(engine, name);
  }
}

/** Reads a blob of unknown size, up to the maximum size of a manifest; undefined if it is missing. */
export async function saveSmallBlob(engine: EngineImages, digest: Digest, name: string): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  try {
    // The size in the descriptor is too large; `withoutError` removes the error that the engine writes about it.
    for await (const { chunks } of saveBlobs(engine, [{ digest, size: MAX_MANIFEST }], name)) {
      for await (const chunk of chunks()) parts.push(chunk);
    }
  } catch (error) {
    if (!(error instanceof InvalidImage)) throw error; // the archive is truncated
  }
  const bytes = withoutError(Buffer.concat(parts));
  return digestOf(bytes) === digest ? bytes : undefined;
}

/**
 * Removes the JSON error at the end. If a blob is smaller than the size in its descriptor, the engine writes the whole blob, then stops
 * with an error in the middle of the archive ("unexpected copy size").
 */
function withoutError(bytes: Buffer): Buffer {
  const error = bytes.lastIndexOf('{"errorDetail"');
  return error === -1 ? bytes : bytes.subarray(0, error);
}
