import { Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { describe, expect, test } from "vitest";
import { SingleReaderStream } from "../../../src/send/single-reader-stream.ts";
import { queue } from "../../../src/streams/queue.ts";

const PIECE = Buffer.alloc(512 * 1024);
const MANY = 100;

/** Many pieces, which tell how many of them have been asked for, and when nobody will ask for more. */
function manyPieces() {
  const source = { asked: 0, isClosed: false, bytes: pieces() };
  async function* pieces(): AsyncGenerator<Buffer> {
    try {
      for (; source.asked < MANY; source.asked += 1) yield PIECE;
    } finally {
      source.isClosed = true;
    }
  }
  return source;
}

/** As long as anything could still move by itself. */
async function rest(): Promise<void> {
  for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test("bytes are read while they come, and it is done when they have been read", async () => {
  const source = queue<Buffer>();
  const handOver = new SingleReaderStream(() => source);
  let isDone = false;
  const done = handOver.done().then(() => (isDone = true));
  const reader = handOver.read().stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  source.push(Buffer.from("one "));
  expect((await reader.next()).value?.toString()).toBe("one ");
  source.push(Buffer.from("two"));
  source.end();
  await rest();
  expect(isDone).toBe(false);
  expect((await reader.next()).value?.toString()).toBe("two");
  expect((await reader.next()).done).toBe(true);
  await done;
});

test("some are ready before anybody reads, and no more come than are read", async () => {
  const source = manyPieces();
  const handOver = new SingleReaderStream(() => source.bytes);
  await rest();
  const ahead = source.asked;
  expect(ahead).toBeGreaterThan(1);
  expect(ahead).toBeLessThan(10);
  let read = 0;
  for await (const chunk of handOver.read().stream) {
    read += (chunk as Buffer).length / PIECE.length;
    await new Promise((resolve) => setImmediate(resolve));
    expect(source.asked - read).toBeLessThanOrEqual(2 * ahead);
  }
  expect(read).toBe(MANY);
  await handOver.done();
});

test("a reader that leaves early is done with it, and the source is let go of", async () => {
  const source = manyPieces();
  const handOver = new SingleReaderStream(() => source.bytes);
  const reader = handOver.read().stream;
  reader.once("data", () => reader.destroy());
  await handOver.done();
  expect(source.isClosed).toBe(true);
  expect(source.asked).toBeLessThan(MANY);
});

test("when the source fails, so does all else, also for who comes later", async () => {
  const source = queue<Buffer>();
  const broken = new Error("it broke off");
  async function* failing(): AsyncGenerator<Buffer> {
    yield* source;
    throw broken;
  }
  for (const isRead of [true, false]) {
    const handOver = new SingleReaderStream(() => failing());
    source.push(Buffer.from("some"));
    const reading = isRead ? buffer(handOver.read().stream) : undefined;
    reading?.catch(() => {});
    source.end();
    await rest(); // nobody need have listened
    await expect(handOver.done()).rejects.toBe(broken);
    await expect(reading ?? buffer(handOver.read().stream)).rejects.toBe(broken);
    await expect(handOver.done()).rejects.toBe(broken);
  }
});

test("what is given up is no longer waited for, and its reader is told why", async () => {
  for (const isRead of [true, false]) {
    const source = manyPieces();
    const handOver = new SingleReaderStream(() => source.bytes);
    await rest();
    const reading = isRead ? buffer(handOver.read().stream) : undefined;
    reading?.catch(() => {});
    handOver.giveUp(new Error("it is over"));
    await expect(handOver.done()).rejects.toThrow("it is over");
    await expect(reading ?? buffer(handOver.read().stream)).rejects.toThrow("it is over");
    expect(source.isClosed).toBe(true);
    expect(source.asked).toBeLessThan(MANY);
  }
});

test("it cannot be read twice", async () => {
  const handOver = new SingleReaderStream(() => manyPieces().bytes);
  handOver.read().stream.destroy();
  expect(() => handOver.read()).toThrow("not kept");
  await handOver.done();
});

test("a reader that breaks out of its loop has left", async () => {
  const handOver = new SingleReaderStream(() => manyPieces().bytes);
  for await (const _ of handOver.read().stream) break;
  await expect(handOver.done()).resolves.toBeUndefined();
});

test("so has one whose connection goes away", async () => {
  const handOver = new SingleReaderStream(() => manyPieces().bytes);
  const gone = new Writable({ write: (_chunk, _encoding, done) => (gone.destroy(), done()) });
  await expect(pipeline(handOver.read().stream, gone)).rejects.toThrow("Premature close");
  await expect(handOver.done()).resolves.toBeUndefined();
});

test("it can be given up while the source does not move", async () => {
  const handOver = new SingleReaderStream(() => queue<Buffer>());
  await rest();
  handOver.giveUp(new Error("it is over"));
  await expect(handOver.done()).rejects.toThrow("it is over");
}, 2000);

describe("a reader that may want it from another place on", () => {
  test("is waited for, and given it from there", async () => {
    const asked: number[] = [];
    const open = (from: number) => (asked.push(from), manyPieces().bytes);
    const handOver = new SingleReaderStream(open, { startsWhenRead: true });
    await rest();
    expect(asked).toEqual([]);
    const { first, stream } = handOver.read(7);
    expect([first, asked]).toEqual([7, [7]]);
    expect((await buffer(stream)).length).toBe(MANY * PIECE.length);
    await handOver.done();
  });

  test("gets all of it where nobody has waited", async () => {
    const handOver = new SingleReaderStream(() => manyPieces().bytes);
    const { first, stream } = handOver.read(7);
    expect(first).toBe(0);
    stream.destroy();
    await handOver.done();
  });

  test("is not waited for any more when it is given up", async () => {
    const source = manyPieces();
    const handOver = new SingleReaderStream(() => source.bytes, { startsWhenRead: true });
    handOver.giveUp(new Error("it is over"));
    await expect(handOver.done()).rejects.toThrow("it is over");
    expect(() => handOver.read(7)).toThrow("it is over");
    expect(source.asked).toBe(0);
  });
});
