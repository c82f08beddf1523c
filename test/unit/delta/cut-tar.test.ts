import { describe, expect, test } from "vitest";
import { MAX_PIECE } from "../../../src/delta/chunker.ts";
import { cutTar, type Segment } from "../../../src/delta/cut-tar.ts";
import { makeTar } from "../image/tar/make-tar.ts";
import { chopped, pseudoRandom } from "../pseudo-random.ts";
import { base256, damaged, END, entry, longName, madeUp, noise, ODD, pax, streamOf } from "./odd-tars.ts";

async function segmentsOf(chunks: Iterable<Buffer>): Promise<Segment[]> {
  const segments: Segment[] = [];
  for await (const batch of cutTar(streamOf(chunks))) {
    expect(batch).not.toEqual([]);
    segments.push(...batch);
  }
  return segments;
}

function joined(segments: Segment[]): Buffer {
  return Buffer.concat(segments.map(({ bytes }) => bytes));
}

/** Returns the paths and lengths of the content segments. */
async function contentsOf(tar: Buffer): Promise<[string | undefined, number][]> {
  const segments = await segmentsOf([tar]);
  return segments.flatMap((segment) => (segment.kind === "content" ? [[segment.path, segment.bytes.length]] : []));
}

function same(a: Segment[], b: Segment[]): boolean {
  const path = (segment: Segment): unknown => (segment.kind === "content" ? segment.path : segment.kind);
  return (
    a.length === b.length &&
    a.every((one, at) => path(one) === path(b[at] as Segment) && one.bytes.equals((b[at] as Segment).bytes))
  );
}

describe.each(Object.entries(ODD))("%s", (_name, make) => {
  const tar = make();

  test("is cut into segments with exactly its bytes, however it is chunked", async () => {
    const whole = await segmentsOf([tar]);
    expect(joined(whole).equals(tar)).toBe(true);
    expect(whole.every(({ bytes }) => bytes.length > 0 && bytes.length <= MAX_PIECE)).toBe(true);
    for (const largest of [1, 700, 65_536, 1_300_000]) {
      if (tar.length / largest > 100_000) continue;
      expect(same(await segmentsOf(chopped(tar, largest, largest)), whole)).toBe(true);
    }
  });

  test("is cut into segments with exactly its bytes when it is truncated", async () => {
    const random = pseudoRandom(tar.length);
    for (let times = 0; times < 8; times += 1) {
      const part = tar.subarray(0, Math.floor(random() * tar.length));
      expect(joined(await segmentsOf([part])).equals(part)).toBe(true);
    }
  });
});

test("cuts generated tars, complete and damaged, into segments with exactly their bytes", async () => {
  const random = pseudoRandom(1);
  for (let seed = 0; seed < 20; seed += 1) {
    const tar = madeUp(seed);
    for (const bytes of [tar, damaged(tar, random), damaged(tar, random)]) {
      const whole = await segmentsOf([bytes]);
      expect(joined(whole).equals(bytes)).toBe(true);
      expect(same(await segmentsOf(chopped(bytes, seed, 100_000)), whole)).toBe(true);
    }
  }
});

test("yields only files as content, with their paths", async () => {
  const long = "app/".padEnd(150, "long/");
  const content = noise(100, 1);
  const tar = Buffer.concat([
    entry({ name: "./app/a", content }),
    entry({ name: "app/b", prefix: "usr/src", content }),
    entry({ name: "app/gnu", prefix: "no prefix", magic: "ustar  \0", content }),
    pax({ path: long }),
    entry({ name: long.slice(0, 100), content }),
    longName(`${long}2`),
    entry({ name: long.slice(0, 100), content }),
    pax({ "GNU.sparse.name": "app/real", path: "app/not this" }),
    entry({ name: "app/GNUSparseFile.1/real", content }),
    entry({ name: "app/after", content }),
    entry({ name: "app/link", type: "1", size: "00000000144\0" }),
    entry({ name: "app/folder", type: "5", size: "00000000144\0" }),
    entry({ name: "app/base", size: base256(100n), content }),
    pax({ size: "100" }),
    entry({ name: "app/big", size: "77777777777\0", content }),
    entry({ name: "app/last", content }),
    END,
  ]);
  expect(await contentsOf(tar)).toEqual(
    `./app/a usr/src/app/b app/gnu ${long} ${long}2 app/real app/after app/base app/big app/last`
      .split(" ")
      .map((path) => [path, 100]),
  );
});

test("reads a tar of another library to its end", async () => {
  const names = Array.from({ length: 30 }, (_, at) => `app/${"folder/".repeat(at)}${at}`);
  const tar = await makeTar(names.map((name, at) => ({ name, content: noise(100 * at + 40, at) })));
  expect(await contentsOf(tar)).toEqual(names.map((name, at) => [name, 100 * at + 40]));
});

test.each<[string, (string | undefined)[]]>([
  ["all types", ["app/a", "app/v7", "app/contiguous", "app/continued", "app/names", "app/unknown"]],
  ["entries with a size and no content", ["app/b"]],
  ["a global extension header, whose size applies to no entry", ["app/a", "app/b"]],
  ["sparse files", ["app/sparse", "app/real", "app/real-0.1", "app/real-0.0"]],
  ["checksums in other notations", ["app/a", "app/b", "app/ü", "app/d", "app/e", "app/f"]],
  ["a size that is not a number", [undefined]],
  ["a size of 2^53", [undefined]],
  ["a negative size", [undefined]],
  ["a malformed extension header", ["app/a"]],
  ["an extension header with a huge size", [undefined]],
  ["numbers in other notations", ["app/a", "app/b", "app/c", "app/d"]],
  ["two tars, one after the other", ["app/a", "app/b"]],
  ["files of all sizes", "33 511 512 513 65535 65536 65537 300000 1500000".split(" ").map((name) => `app/${name}`)],
])("finds the paths of the content: %s", async (name, paths) => {
  const contents = await contentsOf(ODD[name]?.() ?? END);
  expect([...new Set(contents.map(([path]) => path))]).toEqual(paths);
});

test("ignores an extension header of more than a megabyte", async () => {
  const file = entry({ name: "app/a", content: noise(50, 1) });
  const names = async (comment: number): Promise<unknown> =>
    await contentsOf(Buffer.concat([pax({ path: "app/b", comment: "x".repeat(comment) }), file, END]));
  expect(await names(1_000_000)).toEqual([["app/b", 50]]);
  expect(await names(1_100_000)).toEqual([["app/a", 50]]);
});

test("cuts a file of up to 32 bytes into no piece, of up to 64 kB into one, and a larger file into several", async () => {
  const file = (size: number): Buffer => Buffer.concat([entry({ name: "a", content: noise(size, 1) }), END]);
  expect(await contentsOf(file(32))).toEqual([]);
  expect(await contentsOf(file(33))).toEqual([["a", 33]]);
  expect(await contentsOf(file(65_536))).toEqual([["a", 65_536]]);
  expect((await contentsOf(file(65_537))).length).toBeGreaterThan(1);
});

test("cuts a file by its content, wherever it is in the tar", async () => {
  const content = noise(700_000, 1);
  const alone = await contentsOf(entry({ name: "a", content }));
  const before = entry({ name: "b", content: noise(900_001, 2) });
  const behind = await contentsOf(Buffer.concat([before, entry({ name: "a", content }), END]));
  expect(behind.filter(([path]) => path === "a")).toEqual(alone);
});

test("yields data after the end of a tar, and data that is not a tar, as content without a path", async () => {
  const garbage = noise(5000, 1);
  const file = entry({ name: "a", content: noise(50, 2) });
  expect(await contentsOf(Buffer.concat([file, END, garbage]))).toEqual([
    ["a", 50],
    [undefined, 5000],
  ]);
  expect(await contentsOf(garbage)).toEqual([[undefined, 5000]]);
  expect(await contentsOf(Buffer.concat([entry({ name: "a", size: base256(2n ** 53n) }), garbage]))).toEqual([
    [undefined, 5512],
  ]);
});

test("reads the tar on demand, and closes it when the consumer stops", async () => {
  let given = 0;
  let left = false;
  async function* endless(): AsyncGenerator<Buffer> {
    try {
      for (;;) yield noise(100_000, (given += 1));
    } finally {
      left = true;
    }
  }
  for await (const _batch of cutTar(endless())) break;
  expect(given).toBeLessThan(20);
  expect(left).toBe(true);
});
