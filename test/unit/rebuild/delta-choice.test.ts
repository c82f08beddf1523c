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
import type { Detail } from "../../../src/output/details.ts";
import { detailText } from "../../../src/output/detail-texts.ts";

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
/** Receivers with a containerd store and with a graph driver. */
const CONTAINERD: RebuildSpeed = { reads: "blobs", takesIn: 200 * MB };
const CLASSIC: RebuildSpeed = { reads: "files", takesIn: 50 * MB };

function choose(rate: number, options: Partial<DeltaChoiceOptions> = {}) {
  const details: string[] = [];
  const bytesPerSecond = vi.fn<() => Promise<number>>(async () => rate);
  const common = {
    always: false,
    speed: CONTAINERD,
    onDetail: (detail: Detail) => void details.push(detailText(detail)),
  };
  return {
    choice: new DeltaChoice({
      ...common,
      rate: { bytesPerSecond, bytesProbedFor: async () => 64_000, stop: () => {} },
      ...options,
    }),
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
])("chooses whole or by delta, whichever is predicted to be faster: %s", async (_, rate, layer, speed, isByDelta) => {
  const { choice, details } = choose(rate, { speed });
  expect(await choice.isByDelta(layer)).toBe(isByDelta);
  expect(details).toEqual([
    expect.stringMatching(/ is sent (by delta|whole): predicted [\d.]+ s by delta, [\d.]+ s whole/),
  ]);
});

test("counts the bytes that measure the link", async () => {
  expect(await choose(MBIT).choice.bytesProbed(packed)).toBe(64_000);
  expect(await choose(MBIT, { always: true }).choice.bytesProbed(packed)).toBe(0);
});

test("chooses delta without a probe of the link with --delta=always", async () => {
  const { choice, bytesPerSecond } = choose(1000 * MB, { always: true });
  expect(await choice.isByDelta(packed)).toBe(true);
  expect(() => choice.watch(packed)).not.toThrow();
  expect(bytesPerSecond).not.toHaveBeenCalled();
});

test("continues a layer that an earlier run has begun in the same way", async () => {
  const half = async () => ({ whole: 0, byDelta: 10 * MB });
  expect(await choose(1000 * MB, { resumed: half }).choice.isByDelta(packed)).toBe(true);
  const most = async () => ({ whole: 140 * MB, byDelta: 0 });
  expect(await choose(100 * MBIT, { resumed: most }).choice.isByDelta(packed)).toBe(false);
});

test("gives up a rebuild that is much slower than predicted, unless it is nearly complete", async () => {
  let ms = 0;
  const { choice } = choose(100 * MBIT, { now: () => ms });
  expect(await choice.isByDelta(packed)).toBe(true);
  const measure = await choice.watch(packed);
  ms = 10_000;
  measure(40 * MB, true); // the start does not count
  ms = 15_000;
  measure(100 * MB, true); // too few bytes to judge
  expect(() => measure(110 * MB, true)).toThrow(RebuildTooSlow);
  expect(() => measure(450 * MB, true)).not.toThrow();
});

test("continues a slow rebuild while the layer is not available whole, and uses its speed for the next layer", async () => {
  let ms = 0;
  const { choice } = choose(100 * MBIT, { now: () => ms });
  const measure = await choice.watch(packed);
  measure(40 * MB, false);
  ms = 10_000;
  expect(() => measure(140 * MB, false)).not.toThrow();
  expect(await choice.isByDelta(packed)).toBe(false);
});

test("predicts the next rebuild from the measured speed of a rebuild", async () => {
  let ms = 0;
  const { choice } = choose(30 * MB, { now: () => ms });
  expect(await choice.isByDelta(packed)).toBe(false);
  const measure = await choice.watch(packed);
  measure(40 * MB, true);
  ms = 1000;
  measure(440 * MB, true);
  expect(await choice.isByDelta(packed)).toBe(true);
});
