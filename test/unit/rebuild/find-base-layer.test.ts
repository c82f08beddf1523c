import { expect, test } from "vitest";
import { findBaseLayer } from "../../../src/rebuild/find-base-layer.ts";
import { digestOf } from "../../../src/image/digest.ts";

const diffIds = (names: string): string[] => names.split("").map(digestOf);
const base = (incoming: string, present: string, layer: string): number | undefined =>
  findBaseLayer(diffIds(incoming), diffIds(present), digestOf(layer));

test("returns the replaced layer as the base of a changed layer", () => {
  expect(base("abXd", "abcd", "X")).toBe(2);
  expect(base("aBcD", "abcd", "D")).toBe(3);
});

test("returns the layer itself as the base of an unchanged layer, whatever is below it", () => {
  expect(base("Abcd", "abcd", "c")).toBe(2);
  expect(base("AAbcd", "abcd", "c")).toBe(2);
});

test("returns bases for the lowest changed layers if there are more changed layers than before", () => {
  expect(base("aXYd", "abd", "X")).toBe(1);
  expect(base("aXYd", "abd", "Y")).toBeUndefined();
});

test("returns no base for a new layer, or for a layer of another image", () => {
  expect(base("abX", "ab", "X")).toBeUndefined();
  expect(base("ab", "cd", "x")).toBeUndefined();
});
