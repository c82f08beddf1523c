import { digestOf } from "../digest.ts";
import { blobPath } from "./listing.ts";
import { namedDescriptors, OCI_LAYOUT, writeIndex, type OciLayoutToWrite } from "./oci-layout.ts";
import { writeTar, type FileToWrite, type TarStream } from "./write-tar.ts";

export interface OciArchiveToWrite extends OciLayoutToWrite {
  /** A manifest.json beside the index, for engines that know no index (loadable-manifest.ts). */
  loadable?: Uint8Array;
}

/**
 * An OCI layout as a tar (OCI image spec, image-layout.md), for a containerd store or Podman. Whether the target has the
 * blobs that are left out is for the caller to know: a containerd store takes an image that it can never give away again.
 */
export function writeOciLayout({ config, manifest, blobs, names, loadable }: OciArchiveToWrite): TarStream {
  const files = new Map<string, FileToWrite>();
  const add = (file: FileToWrite): void => void files.set(file.path, file);
  add({ path: "oci-layout", content: OCI_LAYOUT });
  add({ path: "index.json", content: writeIndex(namedDescriptors(manifest.descriptor, names)) });
  if (loadable !== undefined) add({ path: "manifest.json", content: loadable });
  add({ path: blobPath(manifest.descriptor.digest), content: manifest.bytes });
  add({ path: blobPath(digestOf(config)), content: config });
  for (const { digest, path, size } of blobs) add({ path: blobPath(digest), file: path, size });
  return writeTar([...files.values()]);
}
