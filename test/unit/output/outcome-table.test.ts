import { expect, test } from "vitest";
import type { TransferEvent, TransferName } from "../../../src/output/events.ts";
import { OutcomeTable } from "../../../src/output/outcome-table.ts";

const counts = {
  layersPresent: 0,
  bytesPresent: 0,
  bytesRebuilt: 0,
  bytesSent: 2_000_000,
  bytesReceived: 10,
  ms: 1900,
};

function done(transfer: TransferName, layersSent = 4): TransferEvent {
  return { type: "result", role: "sender", image: "app", id: "sha256:0", layersSent, ...counts, transfer };
}

function failed(transfer: TransferName): TransferEvent {
  return { type: "error", code: "link-lost", exitStatus: 9, side: "here", message: "it broke", transfer };
}

function tableOf(...events: TransferEvent[]): string[] {
  const table = new OutcomeTable();
  for (const event of events) table.add(event);
  return table.lines();
}

test("names hosts if there are several, and images if there are several", () => {
  const [a, b] = [
    { image: "app", host: "ssh://a" },
    { image: "app", host: "ssh://long" },
  ];
  expect(tableOf(done(a), failed(b))).toEqual([
    "ssh://a     done               2 MB sent  1.9 s",
    "ssh://long  failed: link-lost",
  ]);
  expect(tableOf(done(a), done({ image: "db", host: "ssh://a" }, 0))).toEqual([
    "app  done                  2 MB sent  1.9 s",
    "db   done, had all layers  2 MB sent  1.9 s",
  ]);
});

test("prints no table for a single transfer, nor for a failure of the whole command", () => {
  const { transfer: _, ...whole } = failed({});
  expect(tableOf(done({ image: "app" }), whole)).toEqual([]);
});
