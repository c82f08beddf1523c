import { describe, expect, test } from "vitest";
import { layersMissingInList, similarImagesInList } from "../../../src/have/layers-in-list.ts";
import { makeHaveList } from "../../../src/have/make-have-list.ts";
import { InvalidHaveList, MAX_HAVE_LIST, parseHaveList } from "../../../src/have/parse-have-list.ts";
import { listTable } from "../../../src/list/print-list.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { isInHaveSchema } from "./have-schema.ts";

const layer = (name: string): string => digestOf(name);
const [base, libs, app1, app2] = ["base", "libs", "app1", "app2"].map(layer) as [string, string, string, string];
const platform = "linux/amd64";
const classic = { version: "28.5.2", store: "graphdriver", platform, bytesFree: 12_300_000_000 } as const;
const images = [
  { names: ["app:v1", "app:latest"], platform, diffIds: [base, libs, app1] },
  { names: ["other:v1"], platform, diffIds: [base, libs] },
  { names: [], platform, diffIds: [libs] },
  { names: ["nothing:v1"], platform, diffIds: [] },
];
const list = makeHaveList(classic, images);

const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const containerd = (absent: string[] = []) =>
  makeHaveList({ version: "28.5.2", store: "containerd", platform }, images, {
    isPresent: (diffId) => !absent.includes(diffId),
  });

test("lists shared layers once, and the schema describes the list", () => {
  expect(list.layers.map(({ diffId, on }) => [diffId, on])).toEqual([
    [base, undefined],
    [libs, 0],
    [app1, 1],
    [libs, undefined],
  ]);
  expect(list.images.map(({ names, top }) => [names[0], top])).toEqual([
    ["app:v1", 2],
    ["other:v1", 1],
    ["nothing:v1", undefined],
  ]);
  for (const one of [list, containerd([libs])]) {
    expect(isInHaveSchema(one)).toBe(true);
    expect(parseHaveList(bytesOf(one))).toEqual(one);
  }
  expect(isInHaveSchema({ ...list, version: 2 })).toBe(false);
});

test("a list of a thousand images with twenty layers, half of them shared, takes a few megabytes at most", () => {
  const many = Array.from({ length: 1000 }, (_, image) => ({
    names: [`app:${image}`],
    platform,
    diffIds: Array.from({ length: 20 }, (_unused, index) => layer(index < 10 ? `${index}` : `${image} ${index}`)),
  }));
  const bytes = bytesOf(makeHaveList(classic, many));
  expect(bytes.length).toBeLessThan(1_200_000);
  expect(parseHaveList(bytes).layers).toHaveLength(10_010);
});

describe("finds the layers that are missing in", () => {
  test.each<[string, string[], string[]]>([
    ["another top", [base, libs, app2], [app2]],
    ["the same image", [base, libs, app1], []],
    ["another base: the layers above it are others", [app2, libs, app1], [app2, libs, app1]],
    ["a separate layer that some image has as its lowest", [libs, app1], [app1]],
    ["a layer twice", [base, libs, app2, libs, app2], [app2, libs]],
  ])("a classic store: %s", (_, diffIds, missing) => expect(layersMissingInList(list, diffIds)).toEqual(missing));

  test("a containerd store: each layer whose blob is missing", () => {
    expect(layersMissingInList(containerd(), [app2, libs, app1])).toEqual([app2]);
    expect(layersMissingInList(containerd([libs]), [app2, libs, app1])).toEqual([app2, libs]);
  });
});

test("sorts similar images: first those of the repository, then those that share most layers", () => {
  const names = (image: string, diffIds: string[]): string[] =>
    similarImagesInList(list, parseReference(image), diffIds).map(({ name }) => name);
  expect(names("other:v2", [base, libs, app1])).toEqual(["other:v1", "app:v1"]);
  expect(names("new:v1", [base, libs, app1])).toEqual(["app:v1", "other:v1"]);
  expect(names("new:v1", [app2])).toEqual([]);
  expect(names("docker.io/library/app:v2", [app2])).toEqual(["app:v1"]);
});

test("prints a table for people", () => {
  expect(listTable(list)).toBe(`Docker 28.5.2 (classic store, linux/amd64), 12.3 GB free: 3 images, 4 layers
app:v1      linux/amd64  3 layers
app:latest  linux/amd64  3 layers
other:v1    linux/amd64  2 layers
nothing:v1  linux/amd64  0 layers
`);
});

describe("rejects a hostile list:", () => {
  const { layers, images: named } = list;
  const deep = Array.from({ length: 1001 }, (_, on) => ({ diffId: base, ...(on > 0 && { on: on - 1 }) }));
  test.each<[string, unknown]>([
    ["it is not an object", []],
    ["its format is not", {}],
    ["its format is not", { ...list, format: "x" }],
    ["it has the version 2, and this program reads 1", { ...list, version: 2 }],
    ["it does not contain the time", { ...list, listed: "yesterday" }],
    ["it does not contain the time", { ...list, listed: "2026-01-01\u001b[2J" }],
    ["its engine is malformed", { ...list, engine: { ...classic, store: "x" } }],
    ["its engine is malformed", { ...list, engine: { ...classic, platform: "../x" } }],
    ["its free bytes are malformed", { ...list, engine: { ...classic, bytesFree: -1 } }],
    ["it has no layers", { ...list, layers: {} }],
    ["its layer 0 is malformed", { ...list, layers: [{ diffId: "sha256:../../etc" }] }],
    ["its layer 0 is malformed", { ...list, layers: [{ diffId: base, on: 0 }] }],
    ["its layer 1 is malformed", { ...list, layers: [{ diffId: base }, { diffId: libs, on: 2 }] }],
    ["its layer 0 is malformed", { ...list, layers: [{ diffId: base, absent: "no" }] }],
    ["it has an image of more than 1000 layers", { ...list, layers: deep }],
    ["one of its images is malformed", { ...list, images: [{ ...named[0], top: layers.length }] }],
    ["one of its images is malformed", { ...list, images: [{ ...named[0], names: ["a\u0007"] }] }],
    ["one of its images is malformed", { ...list, images: [{ ...named[0], names: ["a".repeat(600)] }] }],
    ["one of its images is malformed", { ...list, images: [{ ...named[0], names: [] }] }],
    ["one of its images is malformed", { ...list, images: [{ ...named[0], names: ["No Name"] }] }],
    ["it has more than 20000 images", { ...list, images: Array.from({ length: 20_001 }, () => 0) }],
    ["more than 600000 values", { ...list, images: Array.from({ length: 700_000 }, () => 0) }],
    ["levels deep", { ...list, images: [[[[[[]]]]]] }],
  ])("%s", (why, value) => {
    expect(() => parseHaveList(bytesOf(value))).toThrow(InvalidHaveList);
    expect(() => parseHaveList(bytesOf(value))).toThrow(why);
  });

  test("text that is not JSON, or is too long", () => {
    expect(() => parseHaveList(Buffer.from("{"))).toThrow("is not JSON");
    expect(() => parseHaveList(Buffer.alloc(MAX_HAVE_LIST + 1, " "))).toThrow("larger than");
  });
});
