import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { decompressLayer } from "../image/layer/decompress-layer.ts";
import { writeDockerManifest } from "../image/oci/write-docker-manifest.ts";
import type { LayoutName } from "../image/oci/oci-layout.ts";
import { digestVerifier } from "../image/layer/verify-digest.ts";
import { writeDockerArchive } from "../image/docker/write-docker-archive.ts";
import { writeOciArchive } from "../image/oci/write-oci-archive.ts";
import type { TarStream } from "../image/tar/write-tar.ts";
import { digestOf, hexOf, type Digest } from "../image/digest.ts";
import type { FileLocation } from "../image/location.ts";
import { manifestFor } from "../store/compose-manifest.ts";
import type { Spool } from "../run/spool.ts";
import type { LayerFile } from "../store/store.ts";
import { countLayers, type ReceivedImage, type Counts } from "./received-image.ts";
import { countBytes } from "../streams/count-bytes.ts";
import type { Received } from "./fetch-image.ts";
import { passThroughVerifier } from "../image/layer/verified-stream.ts";

/** An image as one file has it. */
export interface ArchiveStream {
  /** Reads the layers out of the spool, when it is read. */
  tar: TarStream;
  /** Of an OCI layout. */
  manifest?: Digest;
}

export interface NamedImage extends Pick<Received, "config" | "files" | "manifest"> {
  name: LayoutName;
  /** Its manifest is to be kept ({@link manifestFor}). */
  keeps: boolean;
}

/** An image that has come, as `docker save` writes it, or as a tar of an OCI layout. `onBytes` hears of what is unpacked for that. */
export async function archiveStream(
  kind: FileLocation["kind"],
  { config, files, manifest: sent, name, keeps }: NamedImage,
  spool: Spool,
  onBytes: (count: number) => void,
): Promise<ArchiveStream> {
  if (kind === "oci") throw new Error("a folder is no file");
  if (kind === "docker-archive") {
    const layers = new Map<Digest, LayerFile>(); // one may stand in an image twice
    for (const file of files) {
      if (!layers.has(file.diffId)) layers.set(file.diffId, await unpacked(file, spool, onBytes));
    }
    const plain = files.map((file) => layers.get(file.diffId) ?? file);
    return { tar: writeDockerArchive({ config, layers: plain, names: [name.ref] }) };
  }
  const manifest = manifestFor(config, files, sent, { preserve: keeps });
  const blobs = files.map(({ path, blob }) => ({ path, digest: blob.digest, size: blob.size }));
  const layers = blobs.map(({ digest }) => digest);
  const dockerManifest = writeDockerManifest([{ configDigest: digestOf(config), layers, name: name.image }]);
  const tar = writeOciArchive({ config, manifest, blobs, names: [name], dockerManifest });
  return { tar, manifest: manifest.descriptor.digest };
}

/** What is told of an archive, which has all of its layers anew. */
export function arrivedLayers({
  config,
  files,
  bytesFound,
}: Received): Counts & Pick<ReceivedImage, "id" | "bytesFound"> {
  const sizes = files.map(({ blob }) => blob.size);
  const moved = sizes.map(() => true);
  return { id: digestOf(config), ...countLayers(sizes, moved), bytesFound };
}

/** Plain, as `docker save` has it: not every reader of such archives takes packed layers, or some of each. */
async function unpacked(file: LayerFile, spool: Spool, onBytes: (count: number) => void): Promise<LayerFile> {
  const { diffId, path, blob } = file;
  if (blob.digest === diffId) return file;
  const to = spool.pathFor(`${hexOf(diffId)}.tar`);
  const bytes = digestVerifier({ what: `the uncompressed layer ${diffId}`, digest: diffId });
  const plain = decompressLayer(createReadStream(path), blob.mediaType);
  await pipeline(
    countBytes(passThroughVerifier(plain, bytes), onBytes),
    createWriteStream(to, { flags: "wx", mode: 0o600 }),
  );
  const { size } = bytes.finish();
  return { ...file, path: to, size, blob: { ...blob, digest: diffId, size } };
}
