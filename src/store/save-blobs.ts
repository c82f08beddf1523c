import type { EngineImages } from "../engine/engine-images.ts";
import { forgetName } from "../engine/temporary-name.ts";
import { blobPath } from "../image/oci/oci-layout.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { tarEntries } from "../image/tar/tar-entries.ts";
import { writeOciArchive } from "../image/oci/write-oci-archive.ts";
import { digestOf, type Digest } from "../image/digest.ts";
import { MAX_MANIFEST, MEDIA_TYPE, encodeManifest, type Descriptor } from "../image/manifest.ts";

/** A blob that is passing. */
export interface PassingBlob {
  digest: Digest;
  chunks: () => AsyncGenerator<Buffer>;
}

/**
 * Some blobs of a containerd store, and nothing else, in any order; none at all when one of them is not there. No call of the
 * API gives them. But `docker save` gives every blob that a manifest names, whatever it is: so an image is loaded that names
 * these blobs where others have their layers (1 kB), saved, and removed. Their media type is no layer's, so that nobody
 * tries to unpack them: 26.1 and 28.5 take such an image for an attestation. 29.7 does not save it: no blob comes then. For engines
 * whose content store cannot be asked.
 *
 * @param name a name that nobody else uses; gone when this is done
 */
export async function* saveBlobs(
  engine: EngineImages,
  blobs: readonly Pick<Descriptor, "digest" | "size">[],
  name: string,
): AsyncGenerator<PassingBlob> {
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
      if (entry.size > blob.size) throw new InvalidImage(`${entry.path} in the archive is larger than it should be`);
      yield { digest: blob.digest, chunks: () => entry.chunks() };
    }
  } finally {
    await forgetName(engine, name);
  }
}

/** A blob of which only the digest is known, no larger than a manifest; undefined when it is not there. */
export async function saveSmallBlob(engine: EngineImages, digest: Digest, name: string): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  try {
    // How large it is, nobody has told us; the engine finds out, see `withoutWords`.
    for await (const { chunks } of saveBlobs(engine, [{ digest, size: MAX_MANIFEST }], name)) {
      for await (const chunk of chunks()) parts.push(chunk);
    }
  } catch (error) {
    if (!(error instanceof InvalidImage)) throw error; // the archive ends in the middle
  }
  const bytes = withoutWords(Buffer.concat(parts));
  return digestOf(bytes) === digest ? bytes : undefined;
}

/**
 * A blob that is smaller than its descriptor says, an engine writes whole, and then breaks off with what is wrong, as JSON, in
 * the middle of the archive ("unexpected copy size").
 */
function withoutWords(bytes: Buffer): Buffer {
  const words = bytes.lastIndexOf('{"errorDetail"');
  return words === -1 ? bytes : bytes.subarray(0, words);
}
