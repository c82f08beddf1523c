import { expect, test } from "vitest";
import type { Progress } from "../../../src/output/events.ts";
import { FetchProgress } from "../../../src/receive/fetch-progress.ts";

const [a, b, c] = ["a", "b", "c"].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string, string];

test("sums announced sizes and received bytes, and counts the saved bytes of a layer by delta as complete", () => {
  const reports: Progress[] = [];
  const progress = new FetchProgress(
    3,
    (report) => reports.push(report),
    () => 0,
  );
  expect(progress.progress).toEqual({
    stage: "sending",
    current: 0,
    isEstimated: true,
    layers: { done: 0, total: 3 },
    perLayer: [],
  });
  progress.announce({ diffId: a, size: 1000 });
  progress.announce({ diffId: b, size: 200 });
  progress.startWhole({ diffId: a, size: 1000 }, 100);
  progress.receive(a, 300);
  progress.find(b, 750, 1000); // plain bytes, of a blob of 200 bytes
  progress.receivePieces(b, 125, 1000);
  expect(progress.progress).toEqual({
    stage: "sending",
    current: 400 + 175,
    total: 1200,
    isEstimated: true,
    saved: 150,
    layers: { done: 0, total: 3 },
    perLayer: [
      { id: "a".repeat(12), current: 400, total: 1000 },
      { id: "b".repeat(12), current: 175, total: 200, isByDelta: true },
    ],
  });
  progress.announce({ diffId: c, size: 50 });
  for (const diffId of [a, b, c]) progress.finish(diffId);
  const end = { stage: "sending", current: 1250, total: 1250, saved: 150, layers: { done: 3, total: 3 }, perLayer: [] };
  expect(progress.progress).toEqual(end);
  expect(reports.at(-1)).toEqual(end);
});

test("counts a layer that is sent again from its beginning, whole after a failed delta, and never more than its size", () => {
  const progress = new FetchProgress(1, () => {});
  progress.announce({ diffId: a, size: 1000 });
  progress.find(a, 900, 1000);
  progress.startWhole({ diffId: a, size: 3000 }, 0);
  expect(progress.progress).toMatchObject({ current: 0, total: 3000 });
  expect(progress.progress).not.toHaveProperty("saved");
  progress.receive(a, 4000);
  expect(progress.progress).toMatchObject({ current: 3000, total: 3000 });
  progress.startWhole({ diffId: a, size: 3000 }, 0);
  expect(progress.progress).toMatchObject({ current: 0 });
});

test("reports twenty times per second, regardless of the number of updates", () => {
  const reports: Progress[] = [];
  const clock = { ms: 0 };
  const progress = new FetchProgress(
    1,
    (report) => reports.push(report),
    () => clock.ms,
  );
  progress.announce({ diffId: a, size: 100_000 });
  for (; clock.ms < 1000; clock.ms++) progress.receive(a, 10);
  expect(reports).toHaveLength(20);
});
