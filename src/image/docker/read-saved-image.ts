import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { peek } from "../../streams/peek.ts";
import { MAX_CONFIG } from "../config.ts";
import type { Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { compressionOf, layerMediaType, MAGIC_LENGTH, refuseNonLayerType } from "../layer/compression.ts";
import { withVerifiedStream } from "../layer/verified-stream.ts";
import type { Descriptor } from "../manifest.ts";
import { blobPath } from "../oci/oci-layout.ts";
import { tarEntries, type PassingEntry } from "../tar/tar-entries.ts";
import { digestInName } from "./docker-image.ts";
import { findSavedImage } from "./find-saved-image.ts";
import { layerPaths, type LayerPaths } from "./layer-paths.ts";
import { manifestFinder, type ManifestFinder } from "./manifest-finder.ts";
import { seenFiles } from "./seen-files.ts";
import { UnidentifiedFiles, type CopyFile, type StoredLayer } from "./unidentified-files.ts";
import type { Platform } from "../platform.ts";

const TAR_BLOCK = 512;

export interface ReadSavedImageOptions {
  /** The saved image's layers, bottom first. */
  diffIds: readonly Digest[];
  /** The layers to pass to `onLayer`. */
  wanted: ReadonlySet<Digest>;
  /** Chooses between images with the same layers. */
  platform?: Platform;
  /** The layers in the image's manifest, bottom first. If set, only these blobs are used. */
  descriptors?: readonly Descriptor[] | undefined;
  /**
   * Receives a wanted layer while the archive waits. The stream fails with `InvalidImage` at its end if the bytes do not match. A
   * compressed layer is verified as a blob, not yet by its diff ID. Leaving the stream early skips the layer.
   */
  onLayer(diffId: Digest, stream: Readable, stored: StoredLayer): Promise<void>;
  /** Stores a file that may be a wanted layer until it is identified. If undefined, such files are skipped. */
  onUnidentified?: CopyFile;
  signal?: AbortSignal;
}

export interface SavedImage {
  /** Byte for byte. */
  config: Buffer;
  configDigest: Digest;
  diffIds: Digest[];
  platform: Platform;
  /** The image's names in the archive. */
  names: string[];
  /** Wanted layers that the archive names but does not contain. */
  absent: Digest[];
  /** Wanted layers that the archive contains, but that passed before they were identified. */
  unrecognised: Digest[];
}

/**
 * Reads the output of `docker save` in one pass: passes each wanted layer to `onLayer` once while it streams, in the order of the archive,
 * and stores only manifests and configs. Reads the formats of Docker up to 24.0 (`<v1 id>/layer.tar`), of Docker from 25.0 on (an OCI
 * layout of uncompressed layers), of the containerd store (an OCI layout of blobs as stored) and of Podman (`<diff id>.tar`). All of them
 * name their layers in a file at the end; a manifest among the blobs identifies them earlier.
 *
 * Owns `archive`, and reads it to its end. Throws `InvalidImage` for a file of another format or another image, the callbacks' errors,
 * `archive`'s own error, and the signal's reason. Waits for a callback to settle before it throws.
 */
export async function readSavedImage(archive: Readable, options: ReadSavedImageOptions): Promise<SavedImage> {
  const { diffIds, descriptors, signal } = options;
  if (descriptors !== undefined && descriptors.length !== diffIds.length) {
    throw new InvalidImage(`its manifest names ${descriptors.length} layers, its config ${diffIds.length}`);
  }
  const reader = new SavedImageReader(options);
  for await (const entry of tarEntries(archive, signal)) await reader.read(entry);
  return await reader.finish();
}

class SavedImageReader {
  readonly #options: ReadSavedImageOptions;
  readonly #paths: LayerPaths;
  readonly #files = seenFiles();
  readonly #manifests: ManifestFinder;
  /** The descriptors of the layers, after a manifest has been found. */
  readonly #descriptors = new Map<Digest, Descriptor>();
  /** The wanted layers that have not been found. */
  readonly #outstanding: Set<Digest>;
  readonly #unidentified: UnidentifiedFiles | undefined;
  /** Whether a manifest has named all layers. */
  #hasManifest = false;

  constructor(options: ReadSavedImageOptions) {
    const { diffIds, descriptors, wanted, onUnidentified } = options;
    this.#options = options;
    this.#paths = layerPaths(diffIds, { byDiffId: descriptors === undefined });
    this.#manifests = manifestFinder(diffIds);
    this.#outstanding = new Set(wanted);
    this.#unidentified = onUnidentified && new UnidentifiedFiles(this.#outstanding, onUnidentified);
    if (descriptors !== undefined) this.#useManifest(descriptors);
  }

  async read(entry: PassingEntry): Promise<void> {
    this.#files.addHeader(entry);
    if (entry.type !== "file") return;
    const { path, size } = entry;
    const diffId = this.#paths.layerAt(path);
    if (diffId !== undefined) {
      if (this.#outstanding.delete(diffId)) await this.#passLayer(entry, diffId);
    } else if (/^[0-9a-f]{64}\/json$/.test(path)) {
      if (size <= MAX_CONFIG) this.#paths.addV1Image(path, await buffer(entry.chunks()));
    } else await this.#readOther(entry);
    if (this.#hasManifest || this.#outstanding.size === 0) await this.#unidentified?.discardRest();
  }

  async finish(): Promise<SavedImage> {
    const { diffIds, wanted, platform } = this.#options;
    const { layers, ...image } = await findSavedImage(this.#files, diffIds, platform);
    for (const { diffId, path } of layers) {
      if (wanted.has(diffId)) await this.#unidentified?.identify(this.#files.resolve(path) ?? path, diffId);
    }
    await this.#unidentified?.discardRest();
    const left = layers.filter(({ diffId }) => this.#outstanding.delete(diffId));
    const present = new Set(left.filter(({ path }) => this.#files.resolve(path) !== undefined));
    return {
      ...image,
      absent: left.filter((layer) => !present.has(layer)).map(({ diffId }) => diffId),
      unrecognised: [...present].map(({ diffId }) => diffId),
    };
  }

  #useManifest(layers: readonly Descriptor[]): void {
    this.#hasManifest = true;
    for (const [index, blob] of layers.entries()) {
      this.#paths.addBlob(blob.digest, this.#options.diffIds[index] ?? "");
      this.#descriptors.set(blob.digest, blob);
    }
  }

  async #passLayer(entry: PassingEntry, diffId: Digest): Promise<void> {
    const blob = this.#descriptors.get(digestInName(entry.path) ?? "");
    if (blob !== undefined) refuseNonLayerType(blob.mediaType);
    const stored = blob ?? { mediaType: layerMediaType("none"), digest: diffId, size: entry.size };
    const expected = { what: `layer ${diffId}`, digest: stored.digest, size: stored.size };
    await withVerifiedStream(
      entry.chunks(),
      expected,
      async (stream) => await this.#options.onLayer(diffId, stream, stored),
    );
  }

  /** Reads a file that its path does not identify. Stores a manifest or a config, and passes a possible layer to `onUnidentified`. */
  async #readOther(entry: PassingEntry): Promise<void> {
    const { path, size } = entry;
    const { start, all } = await peek(entry.chunks(), MAGIC_LENGTH);
    const isBlob = path.startsWith("blobs/sha256/");
    if ((isBlob || path.endsWith(".json")) && isJson(start) && size <= MAX_CONFIG) {
      const content = await buffer(all);
      if (isBlob && !mayMatter(content)) return;
      this.#files.addContent(path, content);
      if (isBlob) await this.#learnManifests(path, content);
    } else if (!this.#hasManifest && this.#outstanding.size > 0 && mayBeLayer(entry, start)) {
      const mediaType = layerMediaType(compressionOf(start));
      await this.#unidentified?.add(all, { path, mediaType, size }, isBlob ? digestInName(path) : undefined);
    }
  }

  async #learnManifests(path: string, content: Buffer): Promise<void> {
    if (this.#options.descriptors !== undefined) return;
    for (const layers of this.#manifests.addBlob(path, content)) {
      this.#useManifest(layers);
      for (const [index, blob] of layers.entries()) {
        await this.#unidentified?.identify(blobPath(blob.digest), this.#options.diffIds[index] ?? "", blob);
      }
    }
  }
}

/**
 * Returns whether a file may be a layer. The name of an uncompressed blob is its diff ID, so its path has already identified it. Any other
 * uncompressed tar consists of blocks.
 */
function mayBeLayer({ path, size }: PassingEntry, start: Buffer): boolean {
  if (compressionOf(start) !== "none") return true;
  return !path.startsWith("blobs/sha256/") && size > 0 && size % TAR_BLOCK === 0;
}

function isJson(start: Buffer): boolean {
  return /^\s*[[{]/.test(start.toString("latin1"));
}

/** Distinguishes a manifest, an index or a config from the attestations and old configs that may accompany them. */
function mayMatter(content: Buffer): boolean {
  try {
    const value = JSON.parse(content.toString("utf8")) as Record<string, unknown>;
    return ["layers", "manifests", "rootfs"].some((key) => key in value);
  } catch {
    return false;
  }
}
