import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { Digest } from "../digest.ts";
import { InvalidImage, MAX_CONFIG, type Descriptor } from "../manifest.ts";
import { compressionOf, layerMediaType, MAGIC_LENGTH } from "./compression.ts";
import { digestInName } from "./docker-images.ts";
import { quoted } from "./entry-path.ts";
import { findSaved } from "./find-saved.ts";
import { handOn } from "./hand-on.ts";
import { passedFiles, type PassedFiles } from "./passed-files.ts";
import { peek } from "./peek.ts";
import { recogniseLayers } from "./recognise-layers.ts";
import { tarEntries, type PassingEntry } from "./tar-entries.ts";

const TAR_BLOCK = 512;

/** A layer as it is in the archive. */
export interface StoredLayer {
  mediaType: string;
  digest: Digest;
  /** Bytes. */
  size: number;
}

/** A file that may be a layer: which, is known at the end. */
export interface UnknownFile {
  path: string;
  mediaType: string;
  /** Bytes. */
  size: number;
}

export interface ReadSavedImageOptions {
  /** Of the image that is saved, bottom first. */
  diffIds: readonly Digest[];
  /** Which of them are to be handed on. */
  wanted: ReadonlySet<Digest>;
  /** The layers of the image's manifest, bottom first, where they are known: without them packed blobs are unknown files. */
  descriptors?: readonly Descriptor[];
  /**
   * Takes a wanted layer while the archive waits. The stream fails with `InvalidImage` at its end when the bytes are not what
   * they should be; a layer that is packed is proven as a blob, not yet by its diff ID. To leave it early is to do without it.
   */
  onLayer(diffId: Digest, stream: Readable, stored: StoredLayer): Promise<void>;
  /** Takes a file that may be a wanted layer. Left out: such files are passed over. */
  onUnknown?: (stream: Readable, file: UnknownFile) => Promise<void>;
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
  /** The wanted layers that went to `onUnknown`, whole. A packed one is not proven by its diff ID yet. */
  unknown: { diffId: Digest; path: string; stored: StoredLayer }[];
  /** The wanted layers that have passed without being told from others. To get them, save again, with `onUnknown` or `descriptors`. */
  missed: Digest[];
}

/**
 * Reads what an engine saves, in one pass: hands on the layers that are wanted while it streams, in the order of the archive,
 * each once, and keeps nothing but manifests and configs. Knows the forms of Docker up to 24.0 (`<v1 id>/layer.tar`), from 25.0
 * (an OCI layout of plain layers), of the containerd store (an OCI layout of blobs as stored) and Podman (`<diff id>.tar`);
 * they all name their layers in a file that comes last.
 *
 * Owns `archive`, and reads it to its end. Throws `InvalidImage` when it is not such an archive or not of that image, what the
 * callbacks throw, `archive`'s own error, and the signal's reason. It waits for a callback to settle before it throws.
 */
export async function readSavedImage(archive: Readable, options: ReadSavedImageOptions): Promise<SavedImage> {
  const { diffIds, wanted, descriptors, signal } = options;
  if (descriptors !== undefined && descriptors.length !== diffIds.length) {
    throw new InvalidImage(`its manifest names ${descriptors.length} layers, its config ${diffIds.length}`);
  }
  const recogniser = recogniseLayers(diffIds, descriptors);
  const files = passedFiles();
  const open = new Set(wanted);
  const unknown = new Map<string, StoredLayer>();

  for await (const entry of tarEntries(archive, signal)) {
    files.sees(entry);
    if (entry.type !== "file") continue;
    const diffId = recogniser.layerAt(entry.path);
    if (diffId !== undefined) {
      if (open.delete(diffId)) await handOnLayer(entry, diffId, options);
    } else if (/^[0-9a-f]{64}\/json$/.test(entry.path)) {
      if (entry.size <= MAX_CONFIG) recogniser.learn(entry.path, await buffer(entry.chunks()));
    } else {
      const stored = await takeOther(entry, files, open.size > 0 ? options.onUnknown : undefined);
      if (stored !== undefined) unknown.set(entry.path, stored);
    }
  }

  const { layers, ...image } = await findSaved(files, diffIds);
  const told = layers.flatMap(({ diffId, path }) => {
    const stored = unknown.get(files.pathOf(path) ?? "");
    return stored !== undefined && open.delete(diffId) ? [{ diffId, path, stored }] : [];
  });
  for (const { diffId, stored } of told) refuseOther(diffId, stored);
  return { ...image, unknown: told, missed: [...open] };
}

async function handOnLayer(entry: PassingEntry, diffId: Digest, options: ReadSavedImageOptions): Promise<void> {
  const digest = digestInName(entry.path);
  const stored = options.descriptors?.find(
    (one, index) => one.digest === digest && options.diffIds[index] === diffId,
  ) ?? {
    mediaType: layerMediaType("none"),
    digest: diffId,
    size: entry.size,
  };
  const expected = { what: `layer ${diffId}`, digest: stored.digest, size: stored.size };
  await handOn(entry.chunks(), expected, async (stream) => await options.onLayer(diffId, stream, stored));
}

/** A file that is no layer as far as one can tell: kept when it is a manifest or a config, else handed on as unknown. */
async function takeOther(
  entry: PassingEntry,
  files: PassedFiles,
  onUnknown: ReadSavedImageOptions["onUnknown"],
): Promise<StoredLayer | undefined> {
  const { start, all } = await peek(entry.chunks(), MAGIC_LENGTH);
  const isBlob = entry.path.startsWith("blobs/sha256/");
  if ((isBlob || entry.path.endsWith(".json")) && isJson(start) && entry.size <= MAX_CONFIG) {
    const content = await buffer(all);
    if (!isBlob || mayMatter(content)) files.keep(entry.path, content);
    return undefined;
  }
  const compression = compressionOf(start);
  // A plain blob is named by its diff ID and would have been recognised; a tar comes in blocks.
  const isNoLayer = compression === "none" && (isBlob || entry.size === 0 || entry.size % TAR_BLOCK !== 0);
  if (onUnknown === undefined || isNoLayer) return undefined;
  const digest = isBlob ? digestInName(entry.path) : undefined;
  const mediaType = layerMediaType(compression);
  const expected = { what: quoted(entry.path), size: entry.size, ...(digest && { digest }) };
  const { path, size } = entry;
  const found = await handOn(all, expected, async (stream) => await onUnknown(stream, { path, mediaType, size }));
  return found && { mediaType, ...found };
}

/** A layer that was not packed has been hashed while it passed. */
function refuseOther(diffId: Digest, { mediaType, digest }: StoredLayer): void {
  if (mediaType === layerMediaType("none") && digest !== diffId) {
    throw new InvalidImage(`layer ${diffId} is in truth ${digest}`);
  }
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
