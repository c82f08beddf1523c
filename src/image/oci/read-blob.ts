import type { ArchiveFiles } from "../archive/archive-files.ts";
import { digestOf } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { MAX_MANIFEST, parseManifest, type Descriptor, type Index, type Manifest } from "../manifest.ts";
import { blobPath } from "./oci-layout.ts";

/** Reads and verifies a manifest or an index of a layout. Throws `InvalidImage`, and `FileNotFound` if the layout lacks it. */
export async function readLayoutManifest(
  files: ArchiveFiles,
  descriptor: Descriptor,
): Promise<{ bytes: Buffer; parsed: Manifest | Index }> {
  const bytes = await readBlob(files, descriptor, MAX_MANIFEST);
  return { bytes, parsed: parseManifest(bytes) };
}

/** Reads a blob of at most `limit` bytes and verifies its size and digest. Throws `InvalidImage`. */
export async function readBlob(files: ArchiveFiles, { digest, size }: Descriptor, limit: number): Promise<Buffer> {
  const bytes = await files.read(blobPath(digest), limit);
  if (bytes.length !== size)
    throw new InvalidImage(`${digest} has ${bytes.length} bytes, its descriptor states ${size}`);
  const actual = digestOf(bytes);
  if (actual !== digest) throw new InvalidImage(`${digest} has the digest ${actual}`);
  return bytes;
}
