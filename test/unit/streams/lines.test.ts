import { once } from "node:events";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { onLines } from "../../../src/streams/lines.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

async function linesOf(chunks: (string | Buffer)[]): Promise<string[]> {
  const stream = new PassThrough();
  const lines: string[] = [];
  onLines(stream, (line) => lines.push(line));
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await once(stream, "close");
  return lines;
}

test.each<[string, (string | Buffer)[], string[]]>([
  ["line feeds", ["one\ntwo\n"], ["one", "two"]],
  ["a last line without a line feed", ["one\ntwo"], ["one", "two"]],
  ["empty lines", ["\n\none\n"], ["", "", "one"]],
  ["CR LF", ["one\r\ntwo\r\n"], ["one", "two"]],
  ["CR LF in two chunks", ["one\r", "\ntwo\r", "\n"], ["one", "two"]],
  ["a progress line that is overwritten", ["10%\r20%\r30%\n"], ["10%", "20%", "30%"]],
  ["a carriage return at the end", ["10%\r"], ["10%"]],
  ["a line in several chunks", ["o", "n", "e", "\n"], ["one"]],
  ["a letter in two chunks", [Buffer.from([0xc3]), Buffer.from([0xa4, 0x0a])], ["ä"]],
  ["nothing", [], []],
])("%s", async (_what, chunks, lines) => {
  expect(await linesOf(chunks)).toEqual(lines);
});

test("passes on a prompt while it waits for an answer, and its rest as a separate line", async () => {
  const stream = new PassThrough();
  const lines: string[] = [];
  onLines(stream, (line) => lines.push(line));
  stream.write("Password: ");
  await new Promise(setImmediate);
  expect(lines).toEqual([]);
  vi.runAllTimers();
  expect(lines).toEqual(["Password: "]);
  stream.write("\nWelcome\n");
  await new Promise(setImmediate);
  expect(lines).toEqual(["Password: ", "", "Welcome"]);
  stream.destroy();
});

test("passes on an endless line in parts", async () => {
  const lines = await linesOf(Array.from({ length: 40 }, () => "x".repeat(1000)));
  expect(lines.join("")).toBe("x".repeat(40_000));
  expect(lines.length).toBeGreaterThan(1);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(18_000);
});

test("passes on the pending text of a stream that breaks, and nothing later", async () => {
  const stream = new PassThrough();
  const lines: string[] = [];
  onLines(stream, (line) => lines.push(line));
  stream.write("half a line");
  await new Promise(setImmediate);
  stream.destroy(new Error("EIO"));
  await new Promise(setImmediate);
  vi.runAllTimers();
  expect(lines).toEqual(["half a line"]);
});
