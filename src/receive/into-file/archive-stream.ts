import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { About } from "../../conversation/messages.ts";
import { decompressLayer } from "../../image/layer/decompress-layer.ts";
import { writeDockerManifest } from "../../image/oci/write-docker-manifest.ts";
import type { LayoutName } from "../../image/oci/oci-layout.ts";
import { digestVerifier } from "../../image/layer/verify-digest.ts";
import { writeDockerArchive } from "../../image/docker/write-docker-archive.ts";
import { writeOciArchive } from "../../image/oci/write-oci-archive.ts";
import type { TarStream } from "../../image/tar/write-tar.ts";
import { digestOf, hexOf, type Digest } from "../../image/digest.ts";
import type { FileLocation } from "../../image/location.ts";
import { manifestFor } from "../../store/compose-manifest.ts";
import type { Spool } from "../../run/spool.ts";
import type { LayerFile } from "../../store/store.ts";
import { countLayers, type LayerCounts, type ReceivedImage } from "../received-image.ts";
import { countBytes } from "../../streams/count-bytes.ts";
import type { FetchedImage } from "../fetch-image.ts";
import { passThroughVerifier } from "../../image/layer/verified-stream.ts";

/** An image as an archive. */
export interface ArchiveStream {
  /** Reads the layers from the spool on demand. */
  tar: TarStream;
  /** The digest of the manifest, for an OCI archive. */
  manifest?: Digest;
}

export interface NamedImage extends Pick<FetchedImage, "config" | "files" | "manifest"> {
  names: readonly LayoutName[];
  /** Whether to preserve the sender's manifest ({@link manifestFor}). */
  preserve: boolean;
}

/**
 * Returns a fetched image as a docker archive, in the format of `docker save`, or as an OCI archive.
 *
 * @param onBytes receives the number of bytes decompressed for that
 */
export async function archiveStream(
  kind: FileLocation["kind"],
  { config, files, manifest: sent, names, preserve }: NamedImage,
  spool: Spool,
  onBytes: (count: number) => void,
): Promise<ArchiveStream> {
  if (kind === "oci") throw new Error("an OCI layout is not an archive");
  if (kind === "docker-archive") {
    const layers = new Map<Digest, LayerFile>(); // a layer may occur twice
    for (const file of files) {
      if (!layers.has(file.diffId)) layers.set(file.diffId, await decompressed(file, spool, onBytes));
    }
    const plain = files.map((file) => layers.get(file.diffId) ?? file);
    return { tar: writeDockerArchive({ config, layers: plain, names: names.map(({ ref }) => ref) }) };
  }
  const manifest = manifestFor(config, files, sent, { preserve });
  const blobs = files.map(({ path, blob }) => ({ path, digest: blob.digest, size: blob.size }));
  const layers = blobs.map(({ digest }) => digest);
  const configDigest = digestOf(config);
  const dockerManifest = writeDockerManifest(names.map(({ image: name }) => ({ configDigest, layers, name })));
  const tar = writeOciArchive({ config, manifest, blobs, names, dockerManifest });
  return { tar, manifest: manifest.descriptor.digest };
}

/** Returns the ID and the counts of an archive. The sizes of layers that it omits are unknown. */
export function archiveCounts(
  { config, files, bytesFound }: FetchedImage,
  { diffIds }: Pick<About, "diffIds">,
): LayerCounts & Pick<ReceivedImage, "id" | "bytesFound"> {
  const sizes = new Map(files.map(({ diffId, blob }) => [diffId, blob.size]));
  const counts = countLayers(
    diffIds.map((diffId) => sizes.get(diffId) ?? 0),
    diffIds.map((diffId) => sizes.has(diffId)),
  );
  return { id: digestOf(config), ...counts, bytesFound };
}

/** Decompresses a layer, as `docker save` does: not every reader of docker archives accepts compressed layers, or a mixture. */
async function decompressed(file: LayerFile, spool: Spool, onBytes: (count: number) => void): Promise<LayerFile> {
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
