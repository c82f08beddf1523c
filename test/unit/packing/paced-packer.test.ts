import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Codec } from "../../../src/packing/codecs.ts";
import { BLOCK, HEADER } from "../../../src/packing/pack.ts";
import { PacedPacker } from "../../../src/packing/paced-packer.ts";

vi.mock("node:os", async (original) => ({ ...(await original<object>()), availableParallelism: () => 2 }));

/** ms. Only the simulated source, packing and link advance it. */
let now: number;
beforeEach(() => {
  now = 1_000_000;
  vi.spyOn(performance, "now").mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

/** ms for each block. */
interface Costs {
  source?: number;
  packing?: number;
  link?: (block: number) => number;
}

const LEVELS = { light: 1, medium: 2, strong: 3 };
const nameOf = (level: number): string =>
  Object.entries(LEVELS).find(([, one]) => one === level)?.[0] ?? `level ${level}`;

/** Packs a block of 1 MB into the name of its effort. */
const codec = (ms: number): Codec => ({
  name: "a fake",
  id: 1,
  levels: LEVELS,
  compress: async (_block, level) => ((now += ms), Buffer.from(nameOf(level))),
  decompress: async () => await Promise.reject(new Error("not here")),
});

/** Returns the efforts of the blocks, each with the number of consecutive blocks. */
async function efforts(
  blocks: number,
  { source = 0, packing = 0, link = () => 0 }: Costs,
  packer = new PacedPacker({ codec: codec(packing) }),
): Promise<[string, number][]> {
  const block = Buffer.alloc(BLOCK);
  async function* plain(): AsyncGenerator<Buffer> {
    for (let at = 0; at < blocks; at += 1) {
      now += source;
      yield block;
    }
  }
  const found: [string, number][] = [];
  let seen = 0;
  for await (const chunk of packer.pack(plain())) {
    if (chunk.length === HEADER) continue;
    now += link(seen);
    seen += 1;
    const effort = chunk.length === BLOCK ? "none" : chunk.toString();
    const last = found.at(-1);
    if (last?.[0] === effort) last[1] += 1;
    else found.push([effort, 1]);
  }
  expect(seen).toBe(blocks);
  return found;
}

const names = (found: [string, number][]): string[] => found.map(([effort]) => effort);
const always = (ms: number) => () => ms;

/** The blocks of a layer that is long enough for all efforts, and of a layer that is too short for a lighter effort. */
const LONG = 240;
const SHORT = 60;

test("packs more strongly when the link is slow", async () => {
  expect(names(await efforts(LONG, { packing: 1, link: always(10) }))).toEqual(["medium", "strong"]);
});

test("packs more lightly, and finally not at all, when packing is slow", async () => {
  expect(names(await efforts(LONG, { source: 2, packing: 10, link: always(0.25) }))).toEqual([
    "medium",
    "light",
    "none",
  ]);
});

test("begins the next layer with the last effort", async () => {
  const packer = new PacedPacker({ codec: codec(10) });
  const slowPacking = { source: 2, link: always(0.25) };
  expect(names(await efforts(LONG, slowPacking, packer)).at(-1)).toBe("none");
  expect(names(await efforts(1, slowPacking, packer))).toEqual(["none"]);
});

test("keeps the effort when link and packing are balanced, and when the source is slow", async () => {
  expect(names(await efforts(LONG, { packing: 6, link: always(4) }))).toEqual(["medium"]);
  expect(names(await efforts(LONG, { source: 10, packing: 1 }))).toEqual(["medium"]);
  expect(names(await efforts(LONG, { source: 10, packing: 1, link: always(1) }))).toEqual(["medium"]);
});

test("keeps the effort for a short layer, and reacts to a slow link sooner than to slow packing", async () => {
  expect(names(await efforts(SHORT, { packing: 10 }))).toEqual(["medium"]);
  expect(names(await efforts(SHORT / 2, { packing: 1, link: always(10) }))).toEqual(["medium", "strong"]);
  expect(names(await efforts(SHORT / 5, { packing: 1, link: always(10) }))).toEqual(["medium"]);
});

test("does not treat a link as fast if it is slow at times", async () => {
  // The link is slow for 16 blocks out of 48, so there are never four fast intervals in a row.
  const link = (block: number): number => (block % 48 < 16 ? 8 : 0);
  expect(names(await efforts(LONG, { packing: 10, link }))).toEqual(["medium"]);
});

test("packs again when the link has become slower", async () => {
  const link = (block: number): number => (block < LONG / 2 ? 0 : 1);
  const found = names(await efforts(LONG, { source: 3, packing: 10, link }));
  expect(found.slice(0, 4)).toEqual(["medium", "light", "none", "light"]);
});

test("judges only the latest intervals", async () => {
  const link = (block: number): number => (block < LONG - 40 ? 4 : 10);
  expect(names(await efforts(LONG, { packing: 6, link }))).toEqual(["medium", "strong"]);
});

test("keeps a requested level", async () => {
  const fixed = () => new PacedPacker({ codec: codec(10), level: 7 });
  expect(await efforts(LONG, { source: 2, link: always(0.25) }, fixed())).toEqual([["level 7", LONG]]);
  expect(await efforts(LONG, { link: always(100) }, fixed())).toEqual([["level 7", LONG]]);
});

test("ends the source when it fails, and when the reader leaves", async () => {
  const closed: string[] = [];
  async function* plain(error?: Error): AsyncGenerator<Buffer> {
    try {
      for (let at = 0; at < 50; at += 1) yield Buffer.alloc(BLOCK);
      if (error !== undefined) throw error;
    } finally {
      closed.push("closed");
    }
  }
  const reading = async (): Promise<void> => {
    for await (const _ of new PacedPacker({}).pack(plain(new Error("it broke off"))));
  };
  await expect(reading()).rejects.toThrow("it broke off");
  for await (const _ of new PacedPacker({}).pack(plain())) break;
  expect(closed).toEqual(["closed", "closed"]);
});
