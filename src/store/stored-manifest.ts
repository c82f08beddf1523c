import type { Engine } from "../engine/engine.ts";
import { isPlatform } from "../engine/platform.ts";
import { blobPath } from "../image/archive/listing.ts";
import { tarEntries } from "../image/archive/tar-entries.ts";
import { writeOciLayout } from "../image/archive/write-oci-layout.ts";
import { digestOf, isDigest, type Digest } from "../image/digest.ts";
import {
  InvalidImage,
  isIndex,
  MAX_MANIFEST,
  MEDIA_TYPE,
  parseManifest,
  writeManifest,
  type Index,
  type Manifest,
} from "../image/manifest.ts";

/**
 * The manifest of an image in a containerd store, which no call of the API gives: read out of the store as a blob. Works
 * wherever the API does, for some 100 ms and 5 kB.
 *
 * @param id the image's ID: there, it is the digest of its manifest, or of an index that leads to it
 * @param name a name that nobody else uses; gone when this settles
 * @returns undefined when the engine does not give it
 */
export async function storedManifest(
  engine: Engine,
  id: string,
  platform: string,
  name: string,
): Promise<Manifest | undefined> {
  if (!isDigest(id)) return undefined;
  const root = await readManifest(engine, id, name);
  if (root === undefined || !isIndex(root)) return root;
  const entry = root.manifests.find((one) => isFor(one, platform));
  const found = entry === undefined ? undefined : await readManifest(engine, entry.digest, name);
  return found === undefined || isIndex(found) ? undefined : found;
}

function isFor({ platform }: Index["manifests"][number], wanted: string): boolean {
  if (platform === undefined) return false;
  const { os, architecture, variant } = platform;
  return isPlatform([os, architecture, variant].filter(Boolean).join("/"), wanted);
}

async function readManifest(engine: Engine, digest: Digest, name: string): Promise<Manifest | Index | undefined> {
  const bytes = await readBlob(engine, digest, name);
  try {
    return bytes === undefined ? undefined : parseManifest(bytes);
  } catch (error) {
    if (error instanceof InvalidImage) return undefined;
    throw error;
  }
}

/**
 * A small blob of a containerd store. `docker save` gives every blob that a manifest names, whatever it is: so one is loaded
 * that names this blob where an image has a layer, and is saved again. Its media type is no layer's, so that nobody tries to
 * unpack it (26.1 and 28.5 take it for an attestation).
 */
async function readBlob(engine: Engine, digest: Digest, name: string): Promise<Buffer | undefined> {
  const config = Buffer.from(
    JSON.stringify({ architecture: "unknown", os: "unknown", rootfs: { type: "layers", diff_ids: [digest] } }),
  );
  const manifest = writeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
    // How large it is, nobody has told us; the engine finds out, see `withoutWords`.
    layers: [{ mediaType: "application/octet-stream", digest, size: MAX_MANIFEST }],
  });
  try {
    await engine.loadImage(writeOciLayout({ config, manifest, blobs: [], names: [name] }));
    const parts: Buffer[] = [];
    try {
      for await (const entry of tarEntries(await engine.saveImage(name))) {
        if (entry.path !== blobPath(digest)) continue;
        for await (const chunk of entry.chunks()) parts.push(chunk);
      }
    } catch (error) {
      if (!(error instanceof InvalidImage)) throw error; // it ends in the middle
    }
    return withoutWords(Buffer.concat(parts), digest);
  } finally {
    await engine.removeReference(name).catch(() => {}); // the next run does it
  }
}

/**
 * What is smaller than its descriptor says, an engine writes whole, and then breaks off with what is wrong, as JSON, in the
 * middle of the archive ("unexpected copy size"). Undefined when what is left is not what was asked for.
 */
function withoutWords(bytes: Buffer, digest: Digest): Buffer | undefined {
  const words = bytes.lastIndexOf('{"errorDetail"');
  const content = words === -1 ? bytes : bytes.subarray(0, words);
  return digestOf(content) === digest ? content : undefined;
}
