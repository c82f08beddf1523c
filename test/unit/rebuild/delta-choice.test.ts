import { expect, test, vi } from "vitest";
import {
  DeltaChoice,
  RebuildTooSlow,
  type DeltaChoiceOptions,
  type RebuildSpeed,
} from "../../../src/rebuild/delta-choice.ts";
import type { AnnouncedLayer } from "../../../src/conversation/messages.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";

const MB = 1_000_000;
const MBIT = MB / 8;
const packed: AnnouncedLayer = {
  diffId: digestOf("layer"),
  digest: digestOf("packed"),
  size: 150 * MB,
  mediaType: MEDIA_TYPE.ociLayerGzip,
  cutting: "leaves-blob",
};
const plain: AnnouncedLayer = { ...packed, digest: packed.diffId, size: 500 * MB, mediaType: MEDIA_TYPE.ociLayer };
/** A containerd store, as either end, and a graph driver. */
const CONTAINERD: RebuildSpeed = { reads: "blobs", takesIn: 200 * MB };
const CLASSIC: RebuildSpeed = { reads: "files", takesIn: 50 * MB };

function choose(rate: number, options: Partial<DeltaChoiceOptions> = {}) {
  const details: string[] = [];
  const bytesPerSecond = vi.fn<() => Promise<number>>(async () => rate);
  const common = { always: false, rebuilding: CONTAINERD, onDetail: (text: string) => void details.push(text) };
  return {
    choice: new DeltaChoice({ ...common, rate: { bytesPerSecond, leave: () => {} }, ...options }),
    details,
    bytesPerSecond,
  };
}

test.each([
  ["no limit", 1000 * MB, packed, CONTAINERD, false],
  ["1 Gbit/s", 1000 * MBIT, packed, CONTAINERD, false],
  ["100 Mbit/s", 100 * MBIT, packed, CONTAINERD, true],
  ["10 Mbit/s", 10 * MBIT, packed, CONTAINERD, true],
  ["100 Mbit/s, files read one by one", 100 * MBIT, plain, CLASSIC, false],
  ["10 Mbit/s, files read one by one", 10 * MBIT, plain, CLASSIC, true],
])("a layer comes in the way that is predicted to be faster: %s", async (_, rate, layer, rebuilding, isInPieces) => {
  const { choice, details } = choose(rate, { rebuilding });
  expect(await choice.isInPieces(layer)).toBe(isInPieces);
  expect(details).toEqual([
    expect.stringMatching(/ comes (in pieces|whole): predicted [\d.]+ s in pieces, [\d.]+ s whole/),
  ]);
});

test("in pieces, whatever that takes, where that was asked for: the link is not looked at", async () => {
  const { choice, bytesPerSecond } = choose(1000 * MB, { always: true });
  expect(await choice.isInPieces(packed)).toBe(true);
  expect(() => choice.watch(packed)).not.toThrow();
  expect(bytesPerSecond).not.toHaveBeenCalled();
});

test("what an earlier run has begun is continued in its way", async () => {
  const half = async () => ({ whole: 0, inPieces: 10 * MB });
  expect(await choose(1000 * MB, { begun: half }).choice.isInPieces(packed)).toBe(true);
  const most = async () => ({ whole: 140 * MB, inPieces: 0 });
  expect(await choose(100 * MBIT, { begun: most }).choice.isInPieces(packed)).toBe(false);
});

test("a making that is much slower than predicted is given up, and not one that is nearly done", async () => {
  let ms = 0;
  const { choice } = choose(100 * MBIT, { now: () => ms });
  expect(await choice.isInPieces(packed)).toBe(true);
  const onMade = await choice.watch(packed);
  ms = 10_000;
  onMade(40 * MB, true); // how long the start took says nothing
  ms = 15_000;
  onMade(100 * MB, true); // too little to tell
  expect(() => onMade(110 * MB, true)).toThrow(RebuildTooSlow);
  expect(() => onMade(450 * MB, true)).not.toThrow();
});

test("nor one that cannot be had whole yet; how slow it was counts for the next", async () => {
  let ms = 0;
  const { choice } = choose(100 * MBIT, { now: () => ms });
  const onMade = await choice.watch(packed);
  onMade(40 * MB, false);
  ms = 10_000;
  expect(() => onMade(140 * MB, false)).not.toThrow();
  expect(await choice.isInPieces(packed)).toBe(false);
});

test("the next layer is predicted by how fast the one before was made", async () => {
  let ms = 0;
  const { choice } = choose(30 * MB, { now: () => ms });
  expect(await choice.isInPieces(packed)).toBe(false);
  const onMade = await choice.watch(packed);
  onMade(40 * MB, true);
  ms = 1000;
  onMade(440 * MB, true);
  expect(await choice.isInPieces(packed)).toBe(true);
});
