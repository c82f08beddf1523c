import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { Digest } from "../digest.ts";
import { type Descriptor } from "../manifest.ts";
import { compressionOf, layerMediaType, MAGIC_LENGTH, refuseNonLayerType } from "../layer/compression.ts";
import { digestInName } from "./docker-image.ts";
import { findSavedImage } from "./find-saved-image.ts";
import { withVerifiedStream } from "../layer/verified-stream.ts";
import { InvalidImage } from "../invalid-image.ts";
import { MAX_CONFIG } from "../config.ts";
import { blobPath } from "../oci/oci-layout.ts";
import { seenFiles } from "./seen-files.ts";
import { manifestFinder, type ManifestFinder } from "./manifest-finder.ts";
import { peek } from "../../streams/peek.ts";
import { layerPaths, type LayerPaths } from "./layer-paths.ts";
import { tarEntries, type PassingEntry } from "../tar/tar-entries.ts";
import { UnidentifiedFiles, type KeepFile, type StoredLayer } from "./unidentified-files.ts";

const TAR_BLOCK = 512;

export interface ReadSavedImageOptions {
  /** Of the image that is saved, bottom first. */
  diffIds: readonly Digest[];
  /** Which of them are to be handed on. */
  wanted: ReadonlySet<Digest>;
  /** Of images with the same layers, the one for this platform. */
  platform?: string;
  /** The layers of the image's manifest, bottom first, where these blobs are to be had and no others. */
  descriptors?: readonly Descriptor[] | undefined;
  /**
   * Takes a wanted layer while the archive waits. The stream fails with `InvalidImage` at its end when the bytes are not what
   * they should be; a layer that is packed is proven as a blob, not yet by its diff ID. To leave it early is to do without it.
   */
  onLayer(diffId: Digest, stream: Readable, stored: StoredLayer): Promise<void>;
  /** Takes a file that may be a wanted layer, and hears later whether it is. Left out: such files are passed over. */
  onUnidentified?: KeepFile;
  signal?: AbortSignal;
}

export interface SavedImage {
  /** Byte for byte. */
  config: Buffer;
  configDigest: Digest;
  diffIds: Digest[];
  platform: string;
  /** As the archive has them. */
  names: string[];
  /** The wanted layers that the archive names, and has not. */
  absent: Digest[];
  /** Those that it has, and that have passed without being told from others. */
  unrecognised: Digest[];
}

/**
 * Reads what an engine saves, in one pass: hands on the layers that are wanted while it streams, in the order of the archive,
 * each once, and keeps nothing but manifests and configs. Knows the forms of Docker up to 24.0 (`<v1 id>/layer.tar`), from 25.0
 * (an OCI layout of plain layers), of the containerd store (an OCI layout of blobs as stored) and Podman (`<diff id>.tar`);
 * they all name their layers in a file that comes last. A manifest among the blobs tells them earlier.
 *
 * Owns `archive`, and reads it to its end. Throws `InvalidImage` when it is not such an archive or not of that image, what the
 * callbacks throw, `archive`'s own error, and the signal's reason. It waits for a callback to settle before it throws.
 */
export async function readSavedImage(archive: Readable, options: ReadSavedImageOptions): Promise<SavedImage> {
  const { diffIds, descriptors, signal } = options;
  if (descriptors !== undefined && descriptors.length !== diffIds.length) {
    throw new InvalidImage(`its manifest names ${descriptors.length} layers, its config ${diffIds.length}`);
  }
  const reading = new Reading(options);
  for await (const entry of tarEntries(archive, signal)) await reading.take(entry);
  return await reading.end();
}

class Reading {
  readonly #options: ReadSavedImageOptions;
  readonly #recogniser: LayerPaths;
  readonly #files = seenFiles();
  readonly #manifests: ManifestFinder;
  /** What a manifest says of its layers. */
  readonly #blobs = new Map<Digest, Descriptor>();
  /** The layers that are still to come. */
  readonly #open: Set<Digest>;
  readonly #unknown: UnidentifiedFiles | undefined;
  /** A manifest has named all layers. */
  #isTold = false;

  constructor(options: ReadSavedImageOptions) {
    const { diffIds, descriptors, wanted, onUnidentified: onUnknown } = options;
    this.#options = options;
    this.#recogniser = layerPaths(diffIds, { byDiffId: descriptors === undefined });
    this.#manifests = manifestFinder(diffIds);
    this.#open = new Set(wanted);
    this.#unknown = onUnknown && new UnidentifiedFiles(this.#open, onUnknown);
    if (descriptors !== undefined) this.#name(descriptors);
  }

  async take(entry: PassingEntry): Promise<void> {
    this.#files.addHeader(entry);
    if (entry.type !== "file") return;
    const { path, size } = entry;
    const diffId = this.#recogniser.layerAt(path);
    if (diffId !== undefined) {
      if (this.#open.delete(diffId)) await this.#verifiedStream(entry, diffId);
    } else if (/^[0-9a-f]{64}\/json$/.test(path)) {
      if (size <= MAX_CONFIG) this.#recogniser.addV1Image(path, await buffer(entry.chunks()));
    } else await this.#takeOther(entry);
    if (this.#isTold || this.#open.size === 0) await this.#unknown?.discardRest();
  }

  async end(): Promise<SavedImage> {
    const { diffIds, wanted, platform } = this.#options;
    const { layers, ...image } = await findSavedImage(this.#files, diffIds, platform);
    for (const { diffId, path } of layers) {
      if (wanted.has(diffId)) await this.#unknown?.identify(this.#files.resolve(path) ?? path, diffId);
    }
    await this.#unknown?.discardRest();
    const left = layers.filter(({ diffId }) => this.#open.delete(diffId));
    const isHere = left.map(({ path }) => this.#files.resolve(path) !== undefined);
    const those = (here: boolean): Digest[] =>
      left.filter((_, index) => isHere[index] === here).map(({ diffId }) => diffId);
    return { ...image, absent: those(false), unrecognised: those(true) };
  }

  #name(layers: readonly Descriptor[]): void {
    this.#isTold = true;
    for (const [index, blob] of layers.entries()) {
      this.#recogniser.addBlob(blob.digest, this.#options.diffIds[index] ?? "");
      this.#blobs.set(blob.digest, blob);
    }
  }

  async #verifiedStream(entry: PassingEntry, diffId: Digest): Promise<void> {
    const blob = this.#blobs.get(digestInName(entry.path) ?? "");
    if (blob !== undefined) refuseNonLayerType(blob.mediaType);
    const stored = blob ?? { mediaType: layerMediaType("none"), digest: diffId, size: entry.size };
    const expected = { what: `layer ${diffId}`, digest: stored.digest, size: stored.size };
    await withVerifiedStream(
      entry.chunks(),
      expected,
      async (stream) => await this.#options.onLayer(diffId, stream, stored),
    );
  }

  /** A file of which the name tells nothing: kept when it is a manifest or a config, else perhaps a layer. */
  async #takeOther(entry: PassingEntry): Promise<void> {
    const { path, size } = entry;
    const { start, all } = await peek(entry.chunks(), MAGIC_LENGTH);
    const isBlob = path.startsWith("blobs/sha256/");
    if ((isBlob || path.endsWith(".json")) && isJson(start) && size <= MAX_CONFIG) {
      const content = await buffer(all);
      if (isBlob && !mayMatter(content)) return;
      this.#files.addContent(path, content);
      if (isBlob) await this.#learn(path, content);
    } else if (!this.#isTold && this.#open.size > 0 && mayBeLayer(entry, start)) {
      const mediaType = layerMediaType(compressionOf(start));
      await this.#unknown?.add(all, { path, mediaType, size }, isBlob ? digestInName(path) : undefined);
    }
  }

  async #learn(path: string, content: Buffer): Promise<void> {
    if (this.#options.descriptors !== undefined) return;
    for (const layers of this.#manifests.addBlob(path, content)) {
      this.#name(layers);
      for (const [index, blob] of layers.entries()) {
        await this.#unknown?.identify(blobPath(blob.digest), this.#options.diffIds[index] ?? "", blob);
      }
    }
  }
}

/** A plain blob is named by its diff ID and would have been recognised; a tar comes in blocks. */
function mayBeLayer({ path, size }: PassingEntry, start: Buffer): boolean {
  if (compressionOf(start) !== "none") return true;
  return !path.startsWith("blobs/sha256/") && size > 0 && size % TAR_BLOCK === 0;
}

function isJson(start: Buffer): boolean {
  return /^\s*[[{]/.test(start.toString("latin1"));
}

/** A manifest, an index or a config, and not one of the attestations and old configs that may come with them. */
function mayMatter(content: Buffer): boolean {
  try {
    const value = JSON.parse(content.toString("utf8")) as Record<string, unknown>;
    return ["layers", "manifests", "rootfs"].some((key) => key in value);
  } catch {
    return false;
  }
}
