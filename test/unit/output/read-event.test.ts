import { expect, test } from "vitest";
import type { TransferEvent } from "../../../src/output/events.ts";
import { EventReader } from "../../../src/output/read-event.ts";

const reader = new EventReader();
const read = (event: unknown): TransferEvent | undefined => reader.read(JSON.stringify(event));

test.each<[string, TransferEvent]>([
  ["started", { type: "started", role: "sender", image: "app:v1", transfer: { image: "app:v1", host: "ssh://b" } }],
  ["a progress", { type: "progress", stage: "sending", current: 1, layers: { done: 0, total: 2 }, perLayer: [] }],
  ["a note", { type: "note", code: "layers-kept", bytes: 12 }],
  [
    "a detail with a field of several forms",
    { type: "detail", code: "leftover-removed", leftover: { kind: "file", path: "/x" } },
  ],
  ["an error", { type: "error", code: "no-space", exitStatus: 11, side: "here", message: "full" }],
])("reads %s as printed", (_, event) => {
  expect(read(event)).toEqual(event);
});

test.each<[string, unknown]>([
  ["a type of another version", { type: "later", image: "app" }],
  ["a code of another version", { type: "note", code: "later" }],
  ["a field that is missing", { type: "remote" }],
  ["a field of another form", { type: "remote", line: 1 }],
  ["a negative number", { type: "note", code: "layers-kept", bytes: -1 }],
  ["a number beyond all", { type: "note", code: "layers-kept", bytes: 1e300 }],
  ["an item of another form", { type: "progress", stage: "sending", current: 1, perLayer: [{ id: 1, current: 1 }] }],
  ["a name of every object", { type: "progress", stage: "toString", current: 1 }],
  ["a list", []],
  ["nothing", null],
])("skips %s", (_, event) => {
  expect(read(event)).toBeUndefined();
});

test("skips a line that is not JSON", () => {
  expect(reader.read("#docker-over-ssh#")).toBeUndefined();
});

test("drops fields that this version does not have, control characters and line breaks", () => {
  const line = `{"type":"remote","line":"a\\u001b[2Jb\\nc\\u202ed","later":1,"__proto__":{"transfer":{}}}`;
  expect(reader.read(line)).toEqual({ type: "remote", line: "ab cd" });
});
