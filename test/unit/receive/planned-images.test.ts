import { expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { PlannedImages } from "../../../src/receive/planned-images.ts";

const [a = "", b = "", c = "", d = ""] = ["a", "b", "c", "d"].map((name) => digestOf(Buffer.from(name)));

test("without other images, all that is wanted is missing", () => {
  expect(new PlannedImages("chain").without([a, b], [b])).toEqual([b]);
});

test("a store that finds layers by chain has those that are on the same layers in another image", () => {
  const planned = new PlannedImages("chain");
  planned.add([a, b, c]);
  planned.add([d]);
  expect(planned.without([a, b, d], [a, b, d])).toEqual([d]);
  expect(planned.without([b, c], [b, c])).toEqual([b, c]);
  expect(planned.without([a, b, c], [b, c])).toEqual([]);
});

test("a store that finds layers by their blobs has them wherever they are in another image", () => {
  const planned = new PlannedImages("blob");
  planned.add([a, b]);
  expect(planned.without([c, b, a], [c, b])).toEqual([c]);
});
