import { expect, test } from "vitest";
import { findBaseLayer } from "../../../src/rebuild/find-base-layer.ts";
import { digestOf } from "../../../src/image/digest.ts";

const stack = (names: string): string[] => names.split("").map(digestOf);
const like = (coming: string, own: string, layer: string): number | undefined =>
  findBaseLayer(stack(coming), stack(own), digestOf(layer));

test("a rebuilt layer is like the one that it has replaced", () => {
  expect(like("abXd", "abcd", "X")).toBe(2);
  expect(like("aBcD", "abcd", "D")).toBe(3);
});

test("on another base, a layer is like itself, wherever it stands", () => {
  expect(like("Abcd", "abcd", "c")).toBe(2);
  expect(like("AAbcd", "abcd", "c")).toBe(2);
});

test("of layers that are more than before, the lowest are like those that were there", () => {
  expect(like("aXYd", "abd", "X")).toBe(1);
  expect(like("aXYd", "abd", "Y")).toBeUndefined();
});

test("a layer that is new is like none, nor is one of another image", () => {
  expect(like("abX", "ab", "X")).toBeUndefined();
  expect(like("ab", "cd", "x")).toBeUndefined();
});
