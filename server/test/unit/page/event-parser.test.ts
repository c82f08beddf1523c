import { expect, test } from "vitest";
import { EventParser } from "../../../page/event-parser.ts";

const STREAM =
  ": a comment\nretry: 250\nid: 1\nevent: log\ndata: one\n\nid: 2\r\nevent: log\r\ndata: two\r\ndata:  lines\r\n\r\ndata\n\nevent: end\nid\ndata:x\r\revent: nothing\n\n";

const EVENTS = [
  { type: "log", data: "one", id: "1" },
  { type: "log", data: "two\n lines", id: "2" },
  { type: "message", data: "", id: "2" },
  { type: "end", data: "x", id: "" },
];

test("parses the events of the HTML standard, however the stream is split into chunks", () => {
  for (const size of [1, 2, 3, 7, STREAM.length]) {
    const parser = new EventParser();
    const pieces = Array.from({ length: Math.ceil(STREAM.length / size) }, (_, index) =>
      STREAM.slice(index * size, (index + 1) * size),
    );
    expect(pieces.flatMap((piece) => parser.push(piece))).toEqual(EVENTS);
    expect(parser.retry).toBe(250);
  }
});

test("ignores an incomplete event", () => {
  const parser = new EventParser();
  expect(parser.push("event: log\ndata: one\n")).toEqual([]);
  expect(parser.push("\n")).toEqual([{ type: "log", data: "one", id: "" }]);
});
