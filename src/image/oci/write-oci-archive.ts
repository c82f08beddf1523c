import type { Readable } from "node:stream";
import { digestOf } from "../digest.ts";
import { blobPath } from "./oci-layout.ts";
import { namedDescriptors, OCI_LAYOUT_FILE, writeIndex, type BlobFile, type OciLayoutToWrite } from "./oci-layout.ts";
import { streamTar, writeTar, type FileToWrite, type TarStream } from "../tar/write-tar.ts";

export interface OciArchiveToWrite extends OciLayoutToWrite {
  /** A manifest.json in addition to the index, for engines that read no index (write-docker-manifest.ts). */
  dockerManifest?: Uint8Array;
}

/**
 * Writes an OCI archive: an OCI layout as a tar (OCI image spec, image-layout.md), for a containerd store or Podman. The caller must ensure
 * that the target has the omitted blobs: a containerd store also accepts an incomplete image, but can never export it.
 */
export function writeOciArchive({ config, manifest, blobs, names, dockerManifest }: OciArchiveToWrite): TarStream {
  const files = new Map<string, FileToWrite>();
  const add = (file: FileToWrite): void => void files.set(file.path, file);
  add({ path: "oci-layout", content: OCI_LAYOUT_FILE });
  add({ path: "index.json", content: writeIndex(namedDescriptors(manifest.descriptor, names)) });
  if (dockerManifest !== undefined) add({ path: "manifest.json", content: dockerManifest });
  add({ path: blobPath(manifest.descriptor.digest), content: manifest.bytes });
  add({ path: blobPath(digestOf(config)), content: config });
  for (const { digest, path, size } of blobs) add({ path: blobPath(digest), file: path, size });
  return writeTar([...files.values()]);
}

export interface OciArchiveToStream {
  blobs: AsyncIterable<BlobFile>;
  /** Called after all blobs have been sent. */
  finish: () => Promise<Omit<OciLayoutToWrite, "blobs">>;
  /** Receives the error of `blobs` or `finish`. */
  onError: (error: unknown) => void;
}

/**
 * Streams the same archive from blobs that are still arriving. If they or `finish` fail, the archive ends correctly, but without an image:
 * the engine that loads it is not interrupted, and refuses it.
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
