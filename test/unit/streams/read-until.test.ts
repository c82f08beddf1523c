import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { readUntil } from "../../../src/streams/read-until.ts";

const never = new AbortController().signal;
const find = (received: string): { start: number; end: number } | undefined => {
  const start = received.indexOf("MARK");
  return start === -1 ? undefined : { start, end: start + 4 };
};

test("returns the text before the match, and leaves the rest in the stream", async () => {
  const stream = new PassThrough();
  const reading = readUntil(stream, find, { max: 100, signal: never });
  for (const chunk of ["Grüße\nMA", "RK", "rest"]) stream.write(chunk);
  expect(await reading).toEqual({ found: { start: 8, end: 12 }, before: "Grüße\n" });
  stream.end();
  expect(await text(stream)).toBe("rest");
});

test("returns the text of a stream that ends without a match", async () => {
  const stream = new PassThrough();
  stream.end("only this");
  expect(await readUntil(stream, find, { max: 100, signal: never })).toEqual({ found: undefined, before: "only this" });
});

test("returns no match after more than `max` bytes", async () => {
  const stream = new PassThrough();
  stream.write("x".repeat(101));
  const { found, before } = await readUntil(stream, find, { max: 100, signal: never });
  expect({ found, length: before.length }).toEqual({ found: undefined, length: 100 });
});

test("rejects with the signal's reason", async () => {
  const stop = new AbortController();
  const reading = readUntil(new PassThrough(), find, { max: 100, signal: stop.signal });
  stop.abort(new Error("Ctrl-C"));
  await expect(reading).rejects.toThrow("Ctrl-C");
});
