import type { Readable } from "node:stream";
import { digestOf } from "../digest.ts";
import { blobPath } from "./oci-layout.ts";
import { namedDescriptors, OCI_LAYOUT_FILE, writeIndex, type BlobFile, type OciLayoutToWrite } from "./oci-layout.ts";
import { streamTar, writeTar, type FileToWrite, type TarStream } from "../tar/write-tar.ts";

export interface OciArchiveToWrite extends OciLayoutToWrite {
  /** A manifest.json beside the index, for engines that know no index (loadable-manifest.ts). */
  loadable?: Uint8Array;
}

/**
 * An OCI layout as a tar (OCI image spec, image-layout.md), for a containerd store or Podman. Whether the target has the
 * blobs that are left out is for the caller to know: a containerd store takes an image that it can never give away again.
 */
export function writeOciArchive({ config, manifest, blobs, names, loadable }: OciArchiveToWrite): TarStream {
  const files = new Map<string, FileToWrite>();
  const add = (file: FileToWrite): void => void files.set(file.path, file);
  add({ path: "oci-layout", content: OCI_LAYOUT_FILE });
  add({ path: "index.json", content: writeIndex(namedDescriptors(manifest.descriptor, names)) });
  if (loadable !== undefined) add({ path: "manifest.json", content: loadable });
  add({ path: blobPath(manifest.descriptor.digest), content: manifest.bytes });
  add({ path: blobPath(digestOf(config)), content: config });
  for (const { digest, path, size } of blobs) add({ path: blobPath(digest), file: path, size });
  return writeTar([...files.values()]);
}

export interface OciArchiveToStream {
  blobs: AsyncIterable<BlobFile>;
  /** Asked for when all blobs have passed. */
  finish: () => Promise<Omit<OciLayoutToWrite, "blobs">>;
  /** What `blobs` or `finish` failed with. */
  onError: (error: unknown) => void;
}

/**
 * The same, of blobs that are still coming. When they stop coming, or there is no image after all, the archive ends in good order,
 * and holds none: whoever loads it refuses it, and has not been interrupted.
 */
export function streamOciArchive({ blobs, finish, onError }: OciArchiveToStream): Readable {
  return streamTar(
    (async function* (): AsyncGenerator<FileToWrite> {
      const passed = new Set<string>();
      try {
        for await (const { digest, path, size } of blobs) {
          if (passed.has(digest)) continue;
          passed.add(digest);
          yield { path: blobPath(digest), file: path, size };
        }
        const { config, manifest, names } = await finish();
        yield { path: blobPath(digestOf(config)), content: config };
        yield { path: blobPath(manifest.descriptor.digest), content: manifest.bytes };
        yield { path: "oci-layout", content: OCI_LAYOUT_FILE };
        yield { path: "index.json", content: writeIndex(namedDescriptors(manifest.descriptor, names)) };
      } catch (error) {
        onError(error);
      }
    })(),
  );
}
