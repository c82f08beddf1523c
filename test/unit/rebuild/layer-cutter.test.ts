import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { InvalidRecipe } from "../../../src/delta/recipe-errors.ts";
import { unpack } from "../../../src/packing/unpack.ts";
import { cutLayer, v2, useTwoSides } from "./two-sides.ts";

useTwoSides();

test("serves a layer that has been cut also whole, and by range", async () => {
  const blob = await cutLayer(v2);
  expect(blob.size).toBe(v2.length);
  expect((await buffer(await blob.open())).equals(v2)).toBe(true);
  expect((await buffer(await blob.open({ first: 10, last: 700 }))).equals(v2.subarray(10, 701))).toBe(true);
  expect((await buffer(unpack(blob.packed?.(7).stream ?? Readable.from([])))).equals(v2.subarray(7))).toBe(true);
});

test.each([
  ["too long", Buffer.alloc(1000, 1)],
  ["beyond the last piece", Buffer.from([50, 1])],
  ["truncated", Buffer.from([128])],
])("rejects a list of missing pieces that is %s", async (_, list) => {
  const { cut } = await cutLayer(v2);
  await expect(cut?.pieces(Readable.from([list]))).rejects.toBeInstanceOf(InvalidRecipe);
});
