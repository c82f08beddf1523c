import { PassThrough, Readable, Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { readAtRate, writeAtRate } from "../../../src/streams/rate.ts";
import { TokenBucket } from "../../../src/streams/token-bucket.ts";
import { BURST, collect, kB, numbered } from "./rated-bytes.ts";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** Accepts a chunk when the test calls `go`. */
class SlowSink extends Writable {
  readonly taken: Buffer[] = [];
  go: () => void = () => {};
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.taken.push(chunk);
    this.go = done;
  }
}

/** Passes bytes through a rated source or a rated sink, and collects the result. */
const directions = {
  read(rate: number, all: Buffer) {
    const source = Readable.from(pieces(all), { objectMode: false });
    return collect(readAtRate(source, rate));
  },
  write(rate: number, all: Buffer) {
    const sink = new PassThrough();
    Readable.from(pieces(all), { objectMode: false }).pipe(writeAtRate(sink, rate));
    return collect(sink);
  },
};

function* pieces(all: Buffer): Generator<Buffer> {
  for (let at = 0; at < all.length; at += 50_000) yield all.subarray(at, at + 50_000);
}

describe.each(["read", "write"] as const)("to %s", (direction) => {
  test.each([512, 3 * kB, 100 * kB, 50_000 * kB])(
    "passes %i bytes a second, never faster and hardly slower",
    async (rate) => {
      const seconds = 20;
      const all = numbered(Math.min(rate * seconds * 2, 8_000_000));
      const { stream, bytes } = directions[direction](rate, all);
      const burst = Math.max(BURST, rate / 10);
      for (let ms = 0; ms < seconds * 1000 && bytes().length < all.length; ms += 50) {
        await vi.advanceTimersByTimeAsync(ms === 0 ? 0 : 50);
        const { length } = bytes();
        expect(length).toBeLessThanOrEqual(burst + (rate * ms) / 1000);
        expect(length).toBeGreaterThanOrEqual(Math.min(all.length, burst / 2 + (rate * ms) / 1000) * 0.95);
      }
      stream.destroy();
      expect(bytes().equals(all.subarray(0, bytes().length))).toBe(true);
    },
  );

  test("passes everything, in order, with its end", async () => {
    const all = numbered(300 * kB);
    const { stream, bytes } = directions[direction](100 * kB, all);
    await vi.advanceTimersByTimeAsync(2000);
    expect(stream.readableEnded).toBe(false);
    await vi.advanceTimersByTimeAsync(1000);
    expect(stream.readableEnded).toBe(true);
    expect(bytes().equals(all)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("passes one burst after a pause", async () => {
    const through = new PassThrough();
    const sink = new PassThrough();
    const rated = direction === "read" ? readAtRate(through, 10 * kB) : writeAtRate(sink, 10 * kB);
    const { bytes } = collect(direction === "read" ? (rated as Readable) : sink);
    const into = direction === "read" ? through : (rated as Writable);
    into.write(numbered(BURST));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(bytes().length).toBe(BURST);
    into.write(numbered(100 * kB));
    await vi.advanceTimersByTimeAsync(0);
    expect(bytes().length).toBe(2 * BURST);
    await vi.advanceTimersByTimeAsync(1000);
    expect(bytes().length).toBe(2 * BURST + 10 * kB);
  });
});

test("makes chunks that are neither tiny nor huge", async () => {
  const sizes: number[] = [];
  readAtRate(Readable.from([numbered(500 * kB)], { objectMode: false }), 100 * kB).on("data", (chunk: Buffer) =>
    sizes.push(chunk.length),
  );
  await vi.advanceTimersByTimeAsync(3000);
  const [first = 0, ...others] = sizes;
  expect(first).toBe(BURST);
  expect(Math.min(...others)).toBeGreaterThanOrEqual(5 * kB);
  expect(Math.max(...others)).toBeLessThanOrEqual(6 * kB);
});

test("loses nothing after a late timer, and passes only a burst after a very late timer", () => {
  const bucket = new TokenBucket(1000 * kB);
  expect(bucket.take(1_000_000)).toBe(100 * kB);
  expect(bucket.take(1_000_000)).toBe(0);
  expect(bucket.wait(1_000_000)).toBe(50);
  expect(bucket.wait(kB)).toBe(1);
  vi.advanceTimersByTime(90);
  expect(bucket.take(1_000_000)).toBe(90 * kB);
  vi.advanceTimersByTime(5000);
  expect(bucket.take(1_000_000)).toBe(100 * kB);
});

test("returns the stream itself if the rate is 0 or undefined", () => {
  const stream = new PassThrough();
  for (const rate of [undefined, 0]) {
    expect(readAtRate(stream, rate)).toBe(stream);
    expect(writeAtRate(stream, rate)).toBe(stream);
  }
});

describe("back-pressure", () => {
  test("buffers little of an endless source for a slow reader", async () => {
    let given = 0;
    const source = new Readable({
      read() {
        given += 10_000;
        this.push(Buffer.alloc(10_000));
      },
    });
    const rated = readAtRate(source, 1000 * kB);
    rated.read(0);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(given).toBeLessThan(200_000);
    rated.destroy();
  });

  test("completes a write when a slow sink has accepted all of it", async () => {
    const sink = new SlowSink({ highWaterMark: 1 });
    const rated = writeAtRate(sink, 1000 * kB);
    const done = vi.fn<() => void>();
    expect(rated.write(numbered(150 * kB), done)).toBe(false);
    await vi.advanceTimersByTimeAsync(1000);
    expect(sink.taken.map(({ length }) => length)).toEqual([100 * kB]);
    sink.go();
    await vi.advanceTimersByTimeAsync(1000);
    expect(sink.taken.map(({ length }) => length)).toEqual([100 * kB, 50 * kB]);
    expect(done).not.toHaveBeenCalled();
    sink.go();
    await vi.advanceTimersByTimeAsync(0);
    expect(done).toHaveBeenCalledOnce();
  });

  test("drains pending writes at the rate", async () => {
    const rated = writeAtRate(new PassThrough().resume(), 100 * kB);
    expect(rated.write(numbered(BURST + 50 * kB))).toBe(false);
    expect(rated.writableLength).toBe(BURST + 50 * kB);
    const drained = vi.fn<() => void>();
    rated.once("drain", drained);
    await vi.advanceTimersByTimeAsync(499);
    expect(drained).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(drained).toHaveBeenCalledOnce();
  });
});
