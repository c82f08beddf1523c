import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Codec } from "../../../src/packing/codecs.ts";
import { BLOCK, HEADER } from "../../../src/packing/pack.ts";
import { PacedPacker } from "../../../src/packing/paced-packer.ts";

vi.mock("node:os", async (original) => ({ ...(await original<object>()), availableParallelism: () => 2 }));

/** ms; it stands still but for what the source, packing and the link are made to take. */
let now: number;
beforeEach(() => {
  now = 1_000_000;
  vi.spyOn(performance, "now").mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

/** ms for each block; the link may change its mind. */
interface Costs {
  source?: number;
  packing?: number;
  link?: (block: number) => number;
}

const LEVELS = { light: 1, medium: 2, strong: 3 };
const nameOf = (level: number): string =>
  Object.entries(LEVELS).find(([, one]) => one === level)?.[0] ?? `level ${level}`;

/** A block of 1 MB becomes the word for the effort that it was packed with. */
const codec = (ms: number): Codec => ({
  name: "a fake",
  id: 1,
  levels: LEVELS,
  compress: async (_block, level) => ((now += ms), Buffer.from(nameOf(level))),
  decompress: async () => await Promise.reject(new Error("not here")),
});

/** The efforts that these blocks came out with, each with how many came one after the other. */
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

/** Blocks of a layer that is long enough for all efforts, and of one that is too short to be hurried. */
const LONG = 240;
const SHORT = 60;

test("the harder, the longer the link is waited for", async () => {
  expect(names(await efforts(LONG, { packing: 1, link: always(10) }))).toEqual(["medium", "strong"]);
});

test("lighter, and in the end not at all, when packing is what is waited for", async () => {
  expect(names(await efforts(LONG, { source: 2, packing: 10, link: always(0.25) }))).toEqual([
    "medium",
    "light",
    "none",
  ]);
});

test("what one layer has shown, the next begins with", async () => {
  const packer = new PacedPacker({ codec: codec(10) });
  const slowPacking = { source: 2, link: always(0.25) };
  expect(names(await efforts(LONG, slowPacking, packer)).at(-1)).toBe("none");
  expect(names(await efforts(1, slowPacking, packer))).toEqual(["none"]);
});

test("as it is when neither is slower than the other, and when all wait for the source", async () => {
  expect(names(await efforts(LONG, { packing: 6, link: always(4) }))).toEqual(["medium"]);
  expect(names(await efforts(LONG, { source: 10, packing: 1 }))).toEqual(["medium"]);
  expect(names(await efforts(LONG, { source: 10, packing: 1, link: always(1) }))).toEqual(["medium"]);
});

test("what is short stays as it is, and what is slow to pack is given longer than a slow link", async () => {
  expect(names(await efforts(SHORT, { packing: 10 }))).toEqual(["medium"]);
  expect(names(await efforts(SHORT / 2, { packing: 1, link: always(10) }))).toEqual(["medium", "strong"]);
  expect(names(await efforts(SHORT / 5, { packing: 1, link: always(10) }))).toEqual(["medium"]);
});

test("a link that is slow now and then does not count as fast", async () => {
  // Of each 16 MB, 16 blocks: never four times in a row.
  const link = (block: number): number => (block % 48 < 16 ? 8 : 0);
  expect(names(await efforts(LONG, { packing: 10, link }))).toEqual(["medium"]);
});

test("what was not packed is again when the link has become slower", async () => {
  const link = (block: number): number => (block < LONG / 2 ? 0 : 1);
  const found = names(await efforts(LONG, { source: 3, packing: 10, link }));
  expect(found.slice(0, 4)).toEqual(["medium", "light", "none", "light"]);
});

test("what counts is how it is now", async () => {
  const link = (block: number): number => (block < LONG - 40 ? 4 : 10);
  expect(names(await efforts(LONG, { packing: 6, link }))).toEqual(["medium", "strong"]);
});

test("the level that was asked for, whatever is waited for", async () => {
  const told = () => new PacedPacker({ codec: codec(10), level: 7 });
  expect(await efforts(LONG, { source: 2, link: always(0.25) }, told())).toEqual([["level 7", LONG]]);
  expect(await efforts(LONG, { link: always(100) }, told())).toEqual([["level 7", LONG]]);
});

test("the source fails, or the reader leaves: so it ends", async () => {
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
