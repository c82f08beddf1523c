import { Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { describe, expect, test } from "vitest";
import { SingleReaderStream } from "../../../src/send/single-reader-stream.ts";
import { queue } from "../../../src/streams/queue.ts";

const CHUNK = Buffer.alloc(512 * 1024);
const MANY = 100;

/** Returns many chunks, and counts how many have been read. */
function manyChunks() {
  const source = { read: 0, isClosed: false, bytes: chunks() };
  async function* chunks(): AsyncGenerator<Buffer> {
    try {
      for (; source.read < MANY; source.read += 1) yield CHUNK;
    } finally {
      source.isClosed = true;
    }
  }
  return source;
}

/** Waits until nothing moves without further input. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test("passes on bytes while they arrive, and done() resolves when they have been read", async () => {
  const source = queue<Buffer>();
  const single = new SingleReaderStream(() => source);
  let isDone = false;
  const done = single.done().then(() => (isDone = true));
  const reader = single.read().stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  source.push(Buffer.from("one "));
  expect((await reader.next()).value?.toString()).toBe("one ");
  source.push(Buffer.from("two"));
  source.end();
  await settle();
  expect(isDone).toBe(false);
  expect((await reader.next()).value?.toString()).toBe("two");
  expect((await reader.next()).done).toBe(true);
  await done;
});

test("reads some bytes ahead, then as many as the reader reads", async () => {
  const source = manyChunks();
  const single = new SingleReaderStream(() => source.bytes);
  await settle();
  const ahead = source.read;
  expect(ahead).toBeGreaterThan(1);
  expect(ahead).toBeLessThan(10);
  let read = 0;
  for await (const chunk of single.read().stream) {
    read += (chunk as Buffer).length / CHUNK.length;
    await new Promise((resolve) => setImmediate(resolve));
    expect(source.read - read).toBeLessThanOrEqual(2 * ahead);
  }
  expect(read).toBe(MANY);
  await single.done();
});

test("closes the source when a reader closes the stream", async () => {
  const source = manyChunks();
  const single = new SingleReaderStream(() => source.bytes);
  const reader = single.read().stream;
  reader.once("data", () => reader.destroy());
  await single.done();
  expect(source.isClosed).toBe(true);
  expect(source.read).toBeLessThan(MANY);
});

test("passes an error of the source to done() and the reader, also to a late reader", async () => {
  const source = queue<Buffer>();
  const broken = new Error("it broke off");
  async function* failing(): AsyncGenerator<Buffer> {
    yield* source;
    throw broken;
  }
  for (const isRead of [true, false]) {
    const single = new SingleReaderStream(() => failing());
    source.push(Buffer.from("some"));
    const reading = isRead ? buffer(single.read().stream) : undefined;
    reading?.catch(() => {});
    source.end();
    await settle(); // without unhandled rejections
    await expect(single.done()).rejects.toBe(broken);
    await expect(reading ?? buffer(single.read().stream)).rejects.toBe(broken);
    await expect(single.done()).rejects.toBe(broken);
  }
});

test("passes the reason of giveUp() to done() and the reader", async () => {
  for (const isRead of [true, false]) {
    const source = manyChunks();
    const single = new SingleReaderStream(() => source.bytes);
    await settle();
    const reading = isRead ? buffer(single.read().stream) : undefined;
    reading?.catch(() => {});
    single.giveUp(new Error("it is over"));
    await expect(single.done()).rejects.toThrow("it is over");
    await expect(reading ?? buffer(single.read().stream)).rejects.toThrow("it is over");
    expect(source.isClosed).toBe(true);
    expect(source.read).toBeLessThan(MANY);
  }
});

test("throws on a second read()", async () => {
  const single = new SingleReaderStream(() => manyChunks().bytes);
  single.read().stream.destroy();
  expect(() => single.read()).toThrow("not stored");
  await single.done();
});

test("resolves done() when the reader breaks out of its loop", async () => {
  const single = new SingleReaderStream(() => manyChunks().bytes);
  for await (const _ of single.read().stream) break;
  await expect(single.done()).resolves.toBeUndefined();
});

test("resolves done() when the reader's connection closes", async () => {
  const single = new SingleReaderStream(() => manyChunks().bytes);
  const gone = new Writable({ write: (_chunk, _encoding, done) => (gone.destroy(), done()) });
  await expect(pipeline(single.read().stream, gone)).rejects.toThrow("Premature close");
  await expect(single.done()).resolves.toBeUndefined();
});

test("does not wait in giveUp() for a source that hangs", async () => {
  const single = new SingleReaderStream(() => queue<Buffer>());
  await settle();
  single.giveUp(new Error("it is over"));
  await expect(single.done()).rejects.toThrow("it is over");
}, 2000);

describe("the source", () => {
  test("is opened at the reader's offset with startsWhenRead", async () => {
    const offsets: number[] = [];
    const open = (from: number) => (offsets.push(from), manyChunks().bytes);
    const single = new SingleReaderStream(open, { startsWhenRead: true });
    await settle();
    expect(offsets).toEqual([]);
    const { first, stream } = single.read(7);
    expect([first, offsets]).toEqual([7, [7]]);
    expect((await buffer(stream)).length).toBe(MANY * CHUNK.length);
    await single.done();
  });

  test("is read from its beginning without startsWhenRead", async () => {
    const single = new SingleReaderStream(() => manyChunks().bytes);
    const { first, stream } = single.read(7);
    expect(first).toBe(0);
    stream.destroy();
    await single.done();
  });

  test("is not opened after giveUp()", async () => {
    const source = manyChunks();
    const single = new SingleReaderStream(() => source.bytes, { startsWhenRead: true });
    single.giveUp(new Error("it is over"));
    await expect(single.done()).rejects.toThrow("it is over");
    expect(() => single.read(7)).toThrow("it is over");
    expect(source.read).toBe(0);
  });
});
