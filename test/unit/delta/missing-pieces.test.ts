import { expect, test } from "vitest";
import { InvalidRecipe } from "../../../src/delta/recipe-errors.ts";
import { decodeMissingPieces, encodeMissingPieces, maxMissingPiecesBytes } from "../../../src/delta/missing-pieces.ts";
import { pseudoRandom } from "../pseudo-random.ts";
import { noise } from "./odd-tars.ts";

const ordinals = (...all: number[]): Uint32Array => Uint32Array.from(all);

test.each([
  ["none", ordinals(), 0],
  ["the first", ordinals(0), 2],
  ["one", ordinals(1_000_000), 4],
  ["some", ordinals(0, 1, 2, 5, 6, 9), 6],
])("encodes a list: %s", (_name, missing, bytes) => {
  const encoded = encodeMissingPieces(missing);
  expect(encoded).toHaveLength(bytes);
  expect(decodeMissingPieces(encoded, 1_000_001)).toEqual(missing);
});

test("encodes a list of all of very many pieces in a few bytes", () => {
  const missing = Uint32Array.from({ length: 100_000 }, (_, at) => at);
  expect(encodeMissingPieces(missing)).toHaveLength(4);
  expect(decodeMissingPieces(encodeMissingPieces(missing), 100_000)).toEqual(missing);
});

test("decodes any encoded list, which has no more bytes than the maximum", () => {
  const random = pseudoRandom(1);
  for (let times = 0; times < 300; times += 1) {
    const pieces = Math.floor(random() * 3000);
    const part = random();
    const missing = Uint32Array.from(Array.from({ length: pieces }, (_, at) => at).filter(() => random() < part));
    const encoded = encodeMissingPieces(missing);
    expect(encoded.length).toBeLessThanOrEqual(maxMissingPiecesBytes(pieces));
    expect(decodeMissingPieces(encoded, pieces)).toEqual(missing);
  }
});

test.each([
  ["an ordinal that is too large", [3, 8], 10],
  ["nothing missing", [0, 0], 10],
  ["two runs with nothing between them", [0, 1, 0, 1], 10],
  ["half a pair", [0, 1, 2], 10],
  ["half a number", [0x80], 10],
  ["a number that is too long", [0x80, 0x80, 0x80, 0x80, 0x80, 0], 2 ** 21],
  ["more bytes than it can have", [0x80, 0x80, 0, 1], 1],
])("rejects %s", (_name, bytes, pieces) => {
  expect(() => decodeMissingPieces(Buffer.from(bytes), pieces)).toThrow(InvalidRecipe);
});

test("rejects noise, or decodes it to ascending ordinals", () => {
  for (let seed = 0; seed < 2000; seed += 1) {
    try {
      const missing = decodeMissingPieces(noise(seed % 40, seed), 5000);
      expect(
        missing.every((ordinal, at) => ordinal < 5000 && (at === 0 || ordinal > (missing[at - 1] as number))),
      ).toBe(true);
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidRecipe);
    }
  }
});
