import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { cut } from "../../../src/delta/cut-tar.ts";
import { decodeRecipe } from "../../../src/delta/decode-recipe.ts";
import { encodeRecipe } from "../../../src/delta/encode-recipe.ts";
import { decodeMissingPieces, encodeMissingPieces } from "../../../src/delta/missing-pieces.ts";
import { TarRebuild } from "../../../src/delta/tar-rebuild.ts";
import { reusePieces } from "../../../src/delta/reuse-pieces.ts";
import { PieceIndex } from "../../../src/delta/piece-index.ts";
import { bytesOf } from "../image/tar/make-tar.ts";
import { chopped } from "../pseudo-random.ts";
import { streamOf } from "./odd-tars.ts";

/** What the other end does to what passes. */
export interface Harm {
  recipe?: (bytes: Buffer) => Buffer;
  missing?: (bytes: Buffer) => Buffer;
  pieces?: (bytes: Buffer) => Buffer;
}

export interface SentTar {
  made: Buffer;
  /** Bytes of the pieces that no seed had. */
  sent: number;
  /** The list of them, as it passed. */
  missing: Buffer;
}

/** Sends a tar to somebody who has `seeds`; both ends, in memory but for two files in `folder`. */
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
  const table = new PieceIndex();
  const lengths: number[] = [];
  const pieceTold = (offset: number, length: number): void => {
    lengths.push(length);
    table.add(offset, length);
  };
  const recipe = await bytesOf(encodeRecipe(cut(streamOf([tar])), { pieces: { add: pieceTold } }));
  const there = streamOf(chopped(harm.recipe?.(recipe) ?? recipe, 1, 5000));
  const rebuild = await TarRebuild.begin(target, decodeRecipe(there, { maxSize: Math.max(tar.length, 20_000_000) }));
  for (const seed of deltaBases)
    await reusePieces(Buffer.isBuffer(seed) ? streamOf(chopped(seed, 2, 200_000)) : seed, rebuild);
  const list = encodeMissingPieces(rebuild.missing());
  const missing = decodeMissingPieces(harm.missing?.(list) ?? list, table.count);
  const pieces = await bytesOf(table.read(source, missing));
  expect(pieces.length).toBe(missing.reduce((sum, ordinal) => sum + (lengths[ordinal] ?? 0), 0));
  if (harm.recipe === undefined && harm.missing === undefined) expect(rebuild.left.bytes).toBe(pieces.length);
  await rebuild.fill(streamOf(chopped(harm.pieces?.(pieces) ?? pieces, 3, 50_000)));
  expect(rebuild.left).toEqual({ pieces: 0, bytes: 0 });
  const made = await readFile(to);
  expect(made.length).toBe(rebuild.size);
  return { made, sent: pieces.length, missing: list };
}
