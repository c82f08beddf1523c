import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FollowedFile } from "../../../src/streams/followed-file.ts";
import { GrowingFile } from "../../../src/streams/growing-file.ts";

const MB = 1024 * 1024;
let folder: string;
let given: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "followed-"));
  given = 0;
});
afterEach(async () => await rm(folder, { recursive: true }));

async function newFile(): Promise<FollowedFile> {
  const path = join(folder, "file");
  return new FollowedFile(new GrowingFile(path, await open(path, "wx")));
}

/** Yields megabytes, and counts the requested ones. */
async function* megabytes(count: number): AsyncGenerator<Buffer> {
  for (; given < count; given += 1) yield Buffer.alloc(MB, given);
}

/** Resolves when nothing has moved for some turns of the event loop, which gives the file system's threads time to work. */
async function untilQuiet(): Promise<void> {
  for (let before = -1, turns = 0; before !== given || turns < 5; turns = before === given ? turns + 1 : 0) {
    before = given;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("writes at the pace of the fastest reader, and gives a slow reader all bytes from the file", async () => {
  const file = await newFile();
  const { signal } = new AbortController();
  const writing = file.writeAll(megabytes(20), signal);
  await untilQuiet();
  expect(given).toBeLessThan(7); // no reader yet
  const slow = file.read();
  const first = await slow.next();
  await untilQuiet();
  expect(given).toBeLessThan(7); // the reader stalls
  let fast = 0;
  for await (const chunk of file.read()) fast += chunk.length;
  expect(fast).toBe(20 * MB);
  await writing;
  let rest = first.done === true ? 0 : first.value.length;
  for await (const chunk of slow) rest += chunk.length;
  expect(rest).toBe(20 * MB);
});

test("passes the writer's error to its readers, and stops after an abort", async () => {
  const file = await newFile();
  const stop = new AbortController();
  const writing = file.writeAll(megabytes(20), stop.signal);
  const reading = file.read();
  await reading.next();
  stop.abort(new Error("all have it"));
  await expect(writing).rejects.toThrow("all have it");
  await expect(async () => {
    for await (const _ of reading);
  }).rejects.toThrow("all have it");
});
