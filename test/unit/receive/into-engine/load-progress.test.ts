import { expect, test } from "vitest";
import type { Progress } from "../../../../src/output/events.ts";
import { LoadProgress } from "../../../../src/receive/into-engine/load-progress.ts";

const [a, b] = [
  { diffId: `sha256:${"a".repeat(64)}`, size: 1000 },
  { diffId: `sha256:${"b".repeat(64)}`, size: 1000 },
] as const;

test("reports the unpacked part of the layers that the engine has received, when all have arrived", async () => {
  const reports: Progress[] = [];
  const progress = new LoadProgress((report) => reports.push(report));
  const status = "Loading layer";
  const given = [];
  for await (const layer of progress.watch(
    (async function* () {
      yield* [a, b];
    })(),
  ))
    given.push(layer);
  expect(given).toEqual([a, b]);
  progress.add({ id: "a".repeat(12), status, current: 1000, total: 1000 });
  expect(reports).toEqual([]);
  progress.begin();
  progress.add({ id: "b".repeat(12), status, current: 300, total: 1000 });
  progress.add({ id: "c".repeat(12), status, current: 300, total: 1000 });
  progress.add({ status: "Loaded image: app:v1" });
  const layers = { done: 1, total: 2 };
  expect(reports).toEqual([
    { stage: "loading", current: 1000, total: 2000, layers, perLayer: [] },
    {
      stage: "loading",
      current: 1300,
      total: 2000,
      layers,
      perLayer: [{ id: "b".repeat(12), current: 300, total: 1000 }],
    },
  ]);
});

test("reports no total if the engine reports no layers", () => {
  const reports: Progress[] = [];
  new LoadProgress((report) => reports.push(report)).begin();
  expect(reports).toEqual([{ stage: "loading", current: 0 }]);
});
