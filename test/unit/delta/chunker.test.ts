import { expect, test } from "vitest";
import { MAX_PIECE, pieceLength } from "../../../src/delta/chunker.ts";
import { noise } from "./odd-tars.ts";

function piecesOf(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = pieceLength(bytes, at, bytes.length);
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

/** Returns the bytes of `now` that are in no piece of `before`. */
function newBytes(now: Buffer, before: Buffer): number {
  const known = new Set(piecesOf(before).map((piece) => piece.toString("latin1")));
  return piecesOf(now)
    .filter((piece) => !known.has(piece.toString("latin1")))
    .reduce((sum, { length }) => sum + length, 0);
}

const big = noise(8_000_000, 1);

test("cuts pieces of 8 to 128 kB, about 37 kB on average", () => {
  const lengths = piecesOf(big).map(({ length }) => length);
  expect(Math.min(...lengths.slice(0, -1))).toBeGreaterThan(8 * 1024);
  expect(Math.max(...lengths)).toBeLessThanOrEqual(MAX_PIECE);
  const average = big.length / lengths.length;
  expect(average).toBeGreaterThan(30_000);
  expect(average).toBeLessThan(45_000);
});

test("cuts uniform content at the maximum length", () => {
  expect(piecesOf(Buffer.alloc(300_000)).map(({ length }) => length)).toEqual([
    MAX_PIECE,
    MAX_PIECE,
    300_000 - 2 * MAX_PIECE,
  ]);
});

test("changes only a few pieces after an insertion, a deletion or a change", () => {
  const [before, behind] = [big.subarray(0, 3_000_000), big.subarray(3_000_000)];
  expect(newBytes(Buffer.concat([before, Buffer.from("something"), behind]), big)).toBeLessThan(3 * MAX_PIECE);
  expect(newBytes(Buffer.concat([before, behind.subarray(5)]), big)).toBeLessThan(3 * MAX_PIECE);
  expect(newBytes(Buffer.concat([Buffer.from("x"), big]), big)).toBeLessThan(3 * MAX_PIECE);
  const changed = Buffer.from(big);
  changed.write("changed", 5_000_000);
  expect(newBytes(changed, big)).toBeLessThan(3 * MAX_PIECE);
});

test("cuts a piece independently of the bytes before it and beyond the maximum length", () => {
  const alone = pieceLength(big, 1_000_000, big.length);
  expect(pieceLength(Buffer.from(big.subarray(1_000_000, 1_000_000 + MAX_PIECE)), 0, MAX_PIECE)).toBe(alone);
});

test("cuts at the boundaries of the protocol, which are the same on both sides", () => {
  expect(piecesOf(noise(300_000, 2)).map(({ length }) => length)).toMatchInlineSnapshot(`
    [
      45954,
      22917,
      46837,
      36755,
      41789,
      49450,
      35766,
      20532,
    ]
  `);
});
