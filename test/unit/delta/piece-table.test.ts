import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { InvalidRecipe } from "../../../src/delta/recipe-errors.ts";
import { MAX_PIECES } from "../../../src/delta/recipe.ts";
import { PieceTable } from "../../../src/delta/piece-table.ts";
import { pseudoRandom } from "../pseudo-random.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** A key for a number; the numbers of one `family` differ in their first half alone, or in their second. */
function pieceKeyOf(number: number, family: "first" | "second" = "first"): string {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(number, family === "first" ? 0 : 4);
  return bytes.toString("latin1");
}

test("knows what is wanted, and where it goes, as a list of all pieces would", () => {
  const random = pseudoRandom(7);
  const below = (limit: number): number => Math.floor(random() * limit);
  const wanted = new PieceTable();
  let pieces: { key: string; length: number; offset: number; ordinal: number }[] = [];
  let count = 0;
  const lengthOf = (number: number): number => 1 + (number % 1000);
  for (let step = 0; step < 10_000; step += 1) {
    const number = below(3000);
    const [key, length] = [pieceKeyOf(number, number % 2 === 0 ? "first" : "second"), lengthOf(number)];
    if (random() < 0.6) {
      wanted.add(key, length, step * 1000);
      pieces.push({ key, length, offset: step * 1000, ordinal: count++ });
    } else {
      const found = pieces.filter((piece) => piece.key === key).map(({ offset }) => offset);
      expect(wanted.take(key, length).toSorted((one, other) => one - other)).toEqual(found);
      pieces = pieces.filter((piece) => piece.key !== key);
    }
    expect(wanted.firstOffset).toBe(pieces[0]?.offset ?? Infinity);
  }
  const first = [...new Map(pieces.toReversed().map((piece) => [piece.key, piece])).values()].toReversed();
  const bytes = first.reduce((sum, { length }) => sum + length, 0);
  expect(wanted.left).toEqual({ pieces: first.length, bytes });
  const even = (key: string): boolean => key.charCodeAt(0) % 2 === 0;
  expect(wanted.bytesLeft(even)).toBe(first.reduce((sum, { key, length }) => sum + (even(key) ? length : 0), 0));
  expect([...wanted.missing()]).toEqual(first.map(({ ordinal }) => ordinal).toSorted((one, other) => one - other));
  for (; pieces[0] !== undefined; pieces = pieces.filter(({ key }) => key !== pieces[0]?.key)) {
    expect(wanted.firstLength).toBe(pieces[0].length);
    expect(wanted.takeFirst()).toContain(pieces[0].offset);
  }
  expect(wanted.left).toEqual({ pieces: 0, bytes: 0 });
});

test("a key has one length, as long as it is wanted", () => {
  const wanted = new PieceTable();
  wanted.add(pieceKeyOf(1), 10, 0);
  expect(() => wanted.add(pieceKeyOf(1), 11, 10)).toThrow(InvalidRecipe);
  expect(wanted.take(pieceKeyOf(1), 11)).toEqual([]);
  expect(wanted.take(pieceKeyOf(1), 10)).toEqual([0]);
  wanted.add(pieceKeyOf(1), 11, 20);
  expect(wanted.take(pieceKeyOf(1), 11)).toEqual([20]);
});

test("as many as a recipe may have take little memory", () => {
  const memory = (): number => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return (heapUsed + arrayBuffers) / 1_000_000;
  };
  const before = memory();
  const wanted = new PieceTable();
  for (let at = 0; at < MAX_PIECES; at += 1) wanted.add(pieceKeyOf(at), 512, at * 512);
  expect(memory() - before).toBeLessThan(100);
  expect(wanted.left.pieces).toBe(MAX_PIECES);
});
