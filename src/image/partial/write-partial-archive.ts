import { blobPath } from "../oci/oci-layout.ts";
import { writeTar, type FileToWrite, type TarStream } from "../tar/write-tar.ts";
import { PARTIAL_FILE, writePartialImage, type PartialImage } from "./partial-image.ts";

/** A partial archive to write. */
export interface PartialToWrite {
  image: PartialImage;
  /** Byte for byte. */
  config: Uint8Array;
  /** The paths of the blobs of all layers that are not present in the receiving engine, by digest. */
  paths: ReadonlyMap<string, string>;
}

/** Writes a partial archive as a tar. */
export function writePartialArchive({ image, config, paths }: PartialToWrite): TarStream {
  const files = new Map<string, FileToWrite>();
  const add = (file: FileToWrite): void => void files.set(file.path, file);
  add({ path: PARTIAL_FILE, content: writePartialImage(image) });
  add({ path: blobPath(image.config), content: config });
  for (const layer of image.layers) {
    if (layer.way === "present") continue;
    const { digest, size } = layer.blob;
    const file = paths.get(digest);
    if (file === undefined) throw new Error("a layer of the archive has no file");
    add({ path: blobPath(digest), file, size });
  }
  return writeTar([...files.values()]);
}
