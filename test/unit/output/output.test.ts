import { expect, test } from "vitest";
import type { TransferEvent } from "../../../src/output/events.ts";
import { outputFor, outputTo } from "../../../src/output/output.ts";

test("an output for an image of a host names both in each event", () => {
  const events: TransferEvent[] = [];
  const forHost = outputFor(
    outputTo((event) => events.push(event)),
    { host: "ssh://prod" },
  );
  const forImage = outputFor(forHost, { image: "app:v1" });
  forHost.note({ code: "engine-only", host: "prod", command: "docker" });
  forImage.progress({ stage: "sending", current: 1 });
  expect(events).toEqual([
    { type: "note", code: "engine-only", host: "prod", command: "docker", transfer: { host: "ssh://prod" } },
    { type: "progress", stage: "sending", current: 1, transfer: { host: "ssh://prod", image: "app:v1" } },
  ]);
});
