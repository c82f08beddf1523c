import { execFile } from "node:child_process";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { NoReader, openPipe } from "../../../src/streams/byte-sink.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sink-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

const makePipe = async (name: string): Promise<string> => {
  const path = join(folder, name);
  await promisify(execFile)("mkfifo", [path]);
  return path;
};
const options = { signal: new AbortController().signal, timeout: 60_000, onWait: () => {} };
const large = Buffer.alloc(1_000_000, "more than a pipe holds ");

test("waits for a pipe's reader, writes everything, then ends the pipe", async () => {
  const path = await makePipe("read");
  let read: Promise<Buffer> | undefined;
  const sink = await openPipe(path, { ...options, onWait: () => void (read = buffer(createReadStream(path))) });
  await sink.write(Readable.from([large, Buffer.from("end")]));
  expect((await read)?.equals(Buffer.concat([large, Buffer.from("end")]))).toBe(true);
});

test("fails when no reader opens the pipe in time", async () => {
  const opened = openPipe(await makePipe("unread"), { ...options, timeout: 0 });
  await expect(opened).rejects.toBeInstanceOf(NoReader);
});

test("fails immediately when the reader closes the pipe, or when the signal is aborted while the reader stalls", async () => {
  const path = await makePipe("left");
  const reader = createReadStream(path);
  const sink = await openPipe(path, options);
  reader.once("data", () => reader.destroy());
  await expect(sink.write(Readable.from([large, large]))).rejects.toMatchObject({ code: "EPIPE" });

  const still = await makePipe("still");
  const stalled = createReadStream(still, { highWaterMark: 1 });
  const stop = new AbortController();
  const blocked = await openPipe(still, { ...options, signal: stop.signal });
  stalled.once("readable", () => stop.abort(new Error("stopped")));
  await expect(blocked.write(Readable.from([large]))).rejects.toThrow("stopped");
  stalled.destroy();
});
