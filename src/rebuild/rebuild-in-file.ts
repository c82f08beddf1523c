import { constants, createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import type { AnnouncedLayer } from "../conversation/messages.ts";
import { decodeRecipe } from "../delta/decode-recipe.ts";
import { encodeMissingPieces } from "../delta/missing-pieces.ts";
import { PieceKeyFilter } from "../delta/piece-key-filter.ts";
import { reusePieces } from "../delta/reuse-pieces.ts";
import { TarRebuild } from "../delta/tar-rebuild.ts";
import type { Digest } from "../image/digest.ts";
import { hasZstd } from "../image/layer/zstd-frames.ts";
import type { Detail } from "../output/details.ts";
import type { RegistryClient } from "../registry/registry-client.ts";
import { countBytes } from "../streams/count-bytes.ts";
import { countRebuiltBytes } from "./count-rebuilt-bytes.ts";
import type { DeltaBaseReader } from "./delta-base-reader.ts";
import type { DeltaChoice } from "./delta-choice.ts";
import type { RebuiltLayers } from "./rebuilt-layers.ts";
import { bytesFree, type RebuiltFile } from "./rebuilt-file.ts";
import { verifyRebuiltTar } from "./verify-rebuilt-tar.ts";

export interface RebuildOptions {
  client: {
    [Part in "recipe" | "pieces"]: (...of: Parameters<RegistryClient[Part]>) => Promise<AsyncIterable<Buffer>>;
  };
  repository: string;
  choice: Pick<DeltaChoice, "watch">;
  signal: AbortSignal;
  /** Receives the bytes of each chunk from the sender. */
  onBytes: (count: number) => void;
  progress: RebuildProgress;
  /** For --verbose. */
  onDetail: (detail: Detail) => void;
}

/**
 * Receives the plain bytes of a layer's pieces that are present, and of all its pieces. Pieces are first found in delta bases, then
 * received.
 */
export interface RebuildProgress {
  find(diffId: Digest, bytes: number, all: number): void;
  receivePieces(diffId: Digest, bytes: number, all: number): void;
}

/** The sources of present pieces, and a callback for the bytes of missing ones. */
export interface RebuildSources {
  reader: DeltaBaseReader;
  rebuilt: RebuiltLayers;
  /** The files of layers that this run has rebuilt. */
  rebuiltPaths: readonly string[];
  /** Receives the bytes of each chunk of missing pieces. */
  onPieceBytes: (count: number) => void;
}

/** The verified plain tar of a layer. */
export interface RebuiltLayer {
  path: string;
  /** Bytes. */
  size: number;
  /** Bytes of its pieces that were found in delta bases. */
  bytesFound: number;
}

/** Returns whether a layer can be fetched whole as announced, even after its recipe has been requested. */
export function isAvailableAsStored({ cutting, mediaType }: AnnouncedLayer): boolean {
  return cutting !== "consumes-blob" && canUnpack(mediaType);
}

/** Returns whether a layer can be fetched whole as it is stored. */
export function canUnpack(mediaType: string): boolean {
  return hasZstd || !mediaType.endsWith("zstd");
}

/**
 * Rebuilds and verifies a layer's tar in a file: reads the recipe, reuses pieces of delta bases, and fetches the missing ones. Rejects with
 * the errors of these steps, after the last write to the file.
 */
export async function rebuildInFile(
  { path, resumedBytes, share }: RebuiltFile,
  layer: AnnouncedLayer,
  sources: RebuildSources,
  options: RebuildOptions,
): Promise<RebuiltLayer> {
  const { choice, client, repository, signal, onBytes, onDetail, progress } = options;
  const { diffId } = layer;
  const measure = await choice.watch(layer);
  await using file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  const keys = new PieceKeyFilter();
  // The sender does not yet know the size of the tar.
  const maxSize = await bytesFree(path);
  const recipe = decodeRecipe(countBytes(await client.recipe(repository, diffId, signal), onBytes), { maxSize });
  const rebuild = TarRebuild.start(file, keys.addAll(countRebuiltBytes(recipe, share)));
  const verified = verifyRebuiltTar(file, rebuild, { diffId, signal });
  verified.catch(() => {}); // awaited below
  try {
    await reusePresentPieces(rebuild, layer, { ...sources, measure, partialPath: resumedBytes > 0 ? path : undefined });
    sources.rebuilt.add(keys);
    const all = rebuild.distinctBytes;
    const bytesFound = all - rebuild.missing.bytes;
    onDetail({ code: "pieces-found", diffId, bytesFound, bytes: all });
    progress.find(diffId, bytesFound, all);
    await fetchMissingPieces(rebuild, layer, sources, options);
    await file.truncate(rebuild.size); // a partial rebuild may be longer
    return { path, size: await verified, bytesFound };
  } finally {
    await rebuild.stop();
    await verified.catch(() => {});
  }
}

type PresentSources = RebuildSources & {
  measure: (read: number, isAvailableWhole: boolean) => void;
  /** The partial rebuild of an earlier run, which is the rebuilt file itself. */
  partialPath: string | undefined;
};

/** Reads the recipe, and takes pieces from delta bases, from a partial rebuild, and from layers that this run has rebuilt. */
async function reusePresentPieces(
  rebuild: TarRebuild,
  layer: AnnouncedLayer,
  { reader, rebuilt, rebuiltPaths, measure, partialPath }: PresentSources,
): Promise<void> {
  // A plain tar cannot be fetched before the sender has cut all of it. Until then, there is no alternative to the rebuild.
  const readAlong = await reader.readAlongRecipe(rebuild, layer.diffId, (read) =>
    measure(read, isAvailableAsStored(layer) || rebuild.isRecipeRead),
  );
  await rebuild.recipeRead;
  // The pieces of a partial rebuild are recognised by their keys, like all other pieces.
  if (partialPath !== undefined) await reusePieces(createReadStream(partialPath), rebuild);
  await reader.readRest(rebuild, readAlong, layer.diffId);
  await rebuilt.reuse(rebuiltPaths, rebuild, reader);
}

async function fetchMissingPieces(
  rebuild: TarRebuild,
  { diffId }: AnnouncedLayer,
  { onPieceBytes }: RebuildSources,
  { client, repository, signal, onBytes, progress }: RebuildOptions,
): Promise<void> {
  if (rebuild.missing.pieces === 0) return;
  const list = encodeMissingPieces(rebuild.missingOrdinals());
  const onChunk = (count: number): void => {
    onPieceBytes(count);
    onBytes(count);
    progress.receivePieces(diffId, count, rebuild.distinctBytes);
  };
  await rebuild.fill(countBytes(await client.pieces(repository, diffId, list, signal), onChunk));
}
