import { expect, test } from "vitest";
import { findBaseLayer } from "../../../src/rebuild/find-base-layer.ts";
import { digestOf } from "../../../src/image/digest.ts";

const diffIds = (names: string): string[] => names.split("").map(digestOf);
const base = (incoming: string, present: string, layer: string): number | undefined =>
  findBaseLayer(diffIds(incoming), diffIds(present), digestOf(layer));

test("the base of a changed layer is the layer that it replaces", () => {
  expect(base("abXd", "abcd", "X")).toBe(2);
  expect(base("aBcD", "abcd", "D")).toBe(3);
});

test("the base of an unchanged layer is the layer itself, whatever is below it", () => {
  expect(base("Abcd", "abcd", "c")).toBe(2);
  expect(base("AAbcd", "abcd", "c")).toBe(2);
});

test("when there are more changed layers than before, the lowest have bases", () => {
  expect(base("aXYd", "abd", "X")).toBe(1);
  expect(base("aXYd", "abd", "Y")).toBeUndefined();
});

test("a new layer has no base, nor has a layer of another image", () => {
  expect(base("abX", "ab", "X")).toBeUndefined();
  expect(base("ab", "cd", "x")).toBeUndefined();
});
