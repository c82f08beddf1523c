import { expect, test } from "vitest";
import { byteRange } from "../../../src/streams/byte-range.ts";
import { queue } from "../../../src/streams/queue.ts";

test.each([
  [{ first: 0 }, "abcdefgh"],
  [{ first: 3 }, "defgh"],
  [{ first: 2, last: 4 }, "cde"],
  [{ first: 8 }, ""],
])("yields the range %j", async (range, expected) => {
  const chunks = queue<Buffer>();
  for (const text of ["abc", "de", "fgh"]) chunks.push(Buffer.from(text));
  chunks.end();
  const got: string[] = [];
  for await (const chunk of byteRange(chunks, range)) got.push(chunk.toString());
  expect(got.join("")).toBe(expected);
});
