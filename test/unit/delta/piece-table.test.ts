import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { InvalidRecipe } from "../../../src/delta/recipe-errors.ts";
import { MAX_PIECES } from "../../../src/delta/recipe.ts";
import { PieceTable } from "../../../src/delta/piece-table.ts";
import { pseudoRandom } from "../pseudo-random.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Returns a key for a number. The keys of a `family` differ only in their first half, or only in their second half. */
function keyFor(number: number, family: "first" | "second" = "first"): string {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(number, family === "first" ? 0 : 4);
  return bytes.toString("latin1");
}

test("returns the missing pieces and their offsets, like a list of all pieces", () => {
  const random = pseudoRandom(7);
  const below = (limit: number): number => Math.floor(random() * limit);
  const table = new PieceTable();
  let pieces: { key: string; length: number; offset: number; ordinal: number }[] = [];
  let count = 0;
  const lengthOf = (number: number): number => 1 + (number % 1000);
  for (let step = 0; step < 10_000; step += 1) {
    const number = below(3000);
    const [key, length] = [keyFor(number, number % 2 === 0 ? "first" : "second"), lengthOf(number)];
    if (random() < 0.6) {
      table.add(key, length, step * 1000);
      pieces.push({ key, length, offset: step * 1000, ordinal: count++ });
    } else {
      const found = pieces.filter((piece) => piece.key === key).map(({ offset }) => offset);
      expect(table.take(key, length).toSorted((one, other) => one - other)).toEqual(found);
      pieces = pieces.filter((piece) => piece.key !== key);
    }
    expect(table.firstMissingOffset).toBe(pieces[0]?.offset ?? Infinity);
  }
  const first = [...new Map(pieces.toReversed().map((piece) => [piece.key, piece])).values()].toReversed();
  const bytes = first.reduce((sum, { length }) => sum + length, 0);
  expect(table.missing).toEqual({ pieces: first.length, bytes });
  const even = (key: string): boolean => key.charCodeAt(0) % 2 === 0;
  expect(table.missingBytesWhere(even)).toBe(first.reduce((sum, { key, length }) => sum + (even(key) ? length : 0), 0));
  expect([...table.missingOrdinals()]).toEqual(
    first.map(({ ordinal }) => ordinal).toSorted((one, other) => one - other),
  );
  for (; pieces[0] !== undefined; pieces = pieces.filter(({ key }) => key !== pieces[0]?.key)) {
    expect(table.firstMissingLength).toBe(pieces[0].length);
    expect(table.takeFirst()).toContain(pieces[0].offset);
  }
  expect(table.missing).toEqual({ pieces: 0, bytes: 0 });
});

test("rejects a second length for a key whose piece is missing", () => {
  const table = new PieceTable();
  table.add(keyFor(1), 10, 0);
  expect(() => table.add(keyFor(1), 11, 10)).toThrow(InvalidRecipe);
  expect(table.take(keyFor(1), 11)).toEqual([]);
  expect(table.take(keyFor(1), 10)).toEqual([0]);
  table.add(keyFor(1), 11, 20);
  expect(table.take(keyFor(1), 11)).toEqual([20]);
});

test("takes little memory for the maximum number of pieces", () => {
  const memory = (): number => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return (heapUsed + arrayBuffers) / 1_000_000;
  };
  const before = memory();
  const table = new PieceTable();
  for (let at = 0; at < MAX_PIECES; at += 1) table.add(keyFor(at), 512, at * 512);
  expect(memory() - before).toBeLessThan(100);
  expect(table.missing.pieces).toBe(MAX_PIECES);
});
