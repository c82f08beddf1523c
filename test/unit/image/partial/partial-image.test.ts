import { expect, test } from "vitest";
import { digestOf } from "../../../../src/image/digest.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import { MEDIA_TYPE } from "../../../../src/image/manifest.ts";
import {
  DELTA_TYPE,
  MAX_PARTIAL_FILE,
  parsePartialImage,
  writePartialImage,
  type PartialImage,
} from "../../../../src/image/partial/partial-image.ts";

const [one, two, three] = ["1", "2", "3"].map((text) => digestOf(text)) as [string, string, string];
const image: PartialImage = {
  names: ["app:v2", "app:latest"],
  config: digestOf("config"),
  listed: "2026-01-02T03:04:05.678Z",
  base: { name: "app:v1", chainId: one },
  layers: [
    { diffId: one, way: "present" },
    { diffId: two, way: "whole", blob: { mediaType: MEDIA_TYPE.ociLayerGzip, digest: two, size: 7 } },
    { diffId: three, way: "by-delta", blob: { mediaType: DELTA_TYPE, digest: three, size: 5 }, size: 500 },
  ],
};
const parsed = (more: object): PartialImage =>
  parsePartialImage(Buffer.from(JSON.stringify({ ...JSON.parse(writePartialImage(image).toString()), ...more })));
const [present, whole, delta] = image.layers;

test("reads a written partial image, which has less than a megabyte for a thousand layers", () => {
  expect(parsed({})).toEqual(image);
  const layers = Array.from({ length: 1000 }, () => delta ?? expect.fail());
  expect(writePartialImage({ ...image, layers }).length).toBeLessThan(MAX_PARTIAL_FILE);
  expect(parsed({ layers }).layers).toHaveLength(1000);
});

test.each<[string, object]>([
  ["another format", { format: "x" }],
  ["a later version", { version: 2 }],
  ["no names", { names: undefined }],
  ["a name that is none", { names: ["../etc"] }],
  ["too many names", { names: Array.from({ length: 101 }, () => "a:1") }],
  ["no config", { config: "x" }],
  ["no time", { listed: "\u001b[2J" }],
  ["a base without a chain ID", { base: { name: "app:v1" } }],
  ["a base with an invalid name", { base: { name: "\u001b", chainId: one } }],
  ["too many layers", { layers: Array.from({ length: 1001 }, () => present) }],
  ["a layer without a diff ID", { layers: [{ way: "present" }] }],
  ["an unknown way", { layers: [{ ...whole, way: "x" }] }],
  ["a whole layer without a blob", { layers: [{ ...whole, blob: undefined }] }],
  ["a whole layer of another type", { layers: [{ ...whole, blob: { mediaType: DELTA_TYPE, digest: two, size: 7 } }] }],
  ["a delta of a negative size", { layers: [{ ...delta, size: -1 }] }],
  ["a delta of more bytes than a message carries", { layers: [{ ...delta, size: 2 ** 53 - 1 }] }],
  ["no object", { layers: [[[[[[]]]]]] }],
])("rejects %s", (_, more) => expect(() => parsed(more)).toThrow(InvalidImage));
