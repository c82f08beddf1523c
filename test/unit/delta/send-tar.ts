import { open, readFile, writeFile, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { cutTar } from "../../../src/delta/cut-tar.ts";
import { decodeRecipe } from "../../../src/delta/decode-recipe.ts";
import { encodeRecipe } from "../../../src/delta/encode-recipe.ts";
import { decodeMissingPieces, encodeMissingPieces } from "../../../src/delta/missing-pieces.ts";
import { TarRebuild } from "../../../src/delta/tar-rebuild.ts";
import { reusePieces } from "../../../src/delta/reuse-pieces.ts";
import type { Instruction } from "../../../src/delta/recipe.ts";
import { PieceIndex } from "../../../src/delta/piece-index.ts";
import { bytesOf } from "../image/tar/make-tar.ts";
import { chopped } from "../pseudo-random.ts";
import { streamOf } from "./odd-tars.ts";

/** Changes to the messages between the two sides. */
export interface Harm {
  recipe?: (bytes: Buffer) => Buffer;
  missing?: (bytes: Buffer) => Buffer;
  pieces?: (bytes: Buffer) => Buffer;
}

export interface SentTar {
  rebuilt: Buffer;
  /** The bytes of the pieces that no delta base has. */
  sent: number;
  /** The encoded list of those pieces. */
  missing: Buffer;
}

/** Starts a rebuild, and waits until its recipe has been read. */
export async function rebuildWithRecipe(
  file: FileHandle,
  recipe: AsyncIterable<readonly Instruction[]>,
): Promise<TarRebuild> {
  const rebuild = TarRebuild.start(file, recipe);
  await rebuild.recipeRead;
  return rebuild;
}

/** Sends a tar by delta to a receiver that has `deltaBases`. Plays both sides, with two files in `folder`. */
export async function sendTar(
  folder: string,
  tar: Buffer,
  deltaBases: Iterable<Buffer | AsyncIterable<Buffer>>,
  harm: Harm = {},
): Promise<SentTar> {
  const [from, to] = [join(folder, "from"), join(folder, "to")];
  await writeFile(from, tar);
  await using source = await open(from);
  await using target = await open(to, "w");
  const index = new PieceIndex();
  const lengths: number[] = [];
  const addPiece = (offset: number, length: number): void => {
    lengths.push(length);
    index.add(offset, length);
  };
  const recipe = await bytesOf(encodeRecipe(cutTar(streamOf([tar])), { pieces: { add: addPiece } }));
  const received = streamOf(chopped(harm.recipe?.(recipe) ?? recipe, 1, 5000));
  const rebuild = await rebuildWithRecipe(
    target,
    decodeRecipe(received, { maxSize: Math.max(tar.length, 20_000_000) }),
  );
  for (const base of deltaBases)
    await reusePieces(Buffer.isBuffer(base) ? streamOf(chopped(base, 2, 200_000)) : base, rebuild);
  const list = encodeMissingPieces(rebuild.missingOrdinals());
  const missing = decodeMissingPieces(harm.missing?.(list) ?? list, index.count);
  const pieces = await bytesOf(index.read(source, missing));
  expect(pieces.length).toBe(missing.reduce((sum, ordinal) => sum + (lengths[ordinal] ?? 0), 0));
  if (harm.recipe === undefined && harm.missing === undefined) expect(rebuild.missing.bytes).toBe(pieces.length);
  await rebuild.fill(streamOf(chopped(harm.pieces?.(pieces) ?? pieces, 3, 50_000)));
  expect(rebuild.missing).toEqual({ pieces: 0, bytes: 0 });
  const rebuilt = await readFile(to);
  expect(rebuilt.length).toBe(rebuild.size);
  return { rebuilt, sent: pieces.length, missing: list };
}
