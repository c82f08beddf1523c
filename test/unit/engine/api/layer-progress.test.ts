import { expect, test } from "vitest";
import { LayerProgress } from "../../../../src/engine/api/layer-progress.ts";

const [A, B, C] = ["a".repeat(12), "b".repeat(12), "c".repeat(12)] as const;

test("a pull into a graph driver counts downloads, and does not count existing layers", () => {
  const progress = new LayerProgress("sending");
  expect(progress.add({ id: "v1", status: "Pulling from team/app" })).toBe(false);
  expect(progress.add({ id: A, status: "Already exists" })).toBe(true);
  expect(progress.add({ id: B, status: "Pulling fs layer" })).toBe(false);
  progress.add({ id: B, status: "Downloading", current: 40, total: 100 });
  expect(progress.progress).toEqual({
    stage: "sending",
    current: 40,
    total: 100,
    layers: { done: 0, total: 1 },
    perLayer: [{ id: B, current: 40, total: 100 }],
  });
  progress.add({ id: B, status: "Download complete" });
  progress.add({ id: B, status: "Extracting", current: 7, total: 9 });
  progress.add({ id: B, status: "Pull complete" });
  expect(progress.progress).toMatchObject({ current: 100, total: 100, layers: { done: 1, total: 1 } });
  expect(progress.moved).toEqual([B]);
});

test("a pull into a containerd store does not mention existing layers, and has no counters for small layers", () => {
  const progress = new LayerProgress(
    "sending",
    new Map([
      [A, 5],
      [B, 7],
      [C, 9],
    ]),
  );
  for (const id of [A, B]) progress.add({ id, status: "Pulling fs layer" });
  progress.add({ id: A, status: "Download complete" });
  expect(progress.progress).toMatchObject({ current: 5, total: 12, layers: { done: 1, total: 2 } });
  expect(progress.moved).toEqual([A, B]);
});

test("a push reports a layer that the registry has as present", () => {
  const progress = new LayerProgress("preparing");
  for (const id of [A, B, C]) progress.add({ id, status: "Preparing" });
  progress.add({ id: A, status: "Layer already exists" });
  progress.add({ id: B, status: "Mounted from library/app" });
  progress.add({ id: C, status: "Pushed" });
  expect(progress.moved).toEqual([C]);
});
