import { expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { PlannedImages } from "../../../src/receive/planned-images.ts";

const [a = "", b = "", c = "", d = ""] = ["a", "b", "c", "d"].map((name) => digestOf(Buffer.from(name)));

test("returns all wanted layers if there are no other images", () => {
  expect(new PlannedImages("chain").without([a, b], [b])).toEqual([b]);
});

test("omits layers on top of the same layers in another image, for a store that finds layers by chain ID", () => {
  const planned = new PlannedImages("chain");
  planned.add([a, b, c]);
  planned.add([d]);
  expect(planned.without([a, b, d], [a, b, d])).toEqual([d]);
  expect(planned.without([b, c], [b, c])).toEqual([b, c]);
  expect(planned.without([a, b, c], [b, c])).toEqual([]);
});

test("omits layers anywhere in another image, for a store that finds layers by their blobs", () => {
  const planned = new PlannedImages("blob");
  planned.add([a, b]);
  expect(planned.without([c, b, a], [c, b])).toEqual([c]);
});
