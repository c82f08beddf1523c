import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { readAtRate, writeAtRate } from "../../../src/streams/rate.ts";
import { text } from "../../fixtures/remote/contents.ts";
import { BURST, collect, kB, numbered } from "./rated-bytes.ts";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe("a rated stream", () => {
  test("passes a source's error to its reader immediately", async () => {
    const source = new PassThrough();
    const rated = readAtRate(source, kB);
    source.write(numbered(100 * kB));
    const failed = vi.fn<(error: Error) => void>();
    rated.once("error", failed).resume();
    await vi.advanceTimersByTimeAsync(1000);
    source.destroy(new Error("EIO"));
    await vi.advanceTimersByTimeAsync(0);
    expect(failed).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: "EIO" }));
    expect(vi.getTimerCount()).toBe(0);
  });

  test("ends after the last byte of a source that closes without an end", async () => {
    const source = new PassThrough();
    const rated = readAtRate(source, 10 * kB);
    const { bytes } = collect(rated);
    source.write(numbered(BURST + 10 * kB));
    await vi.advanceTimersByTimeAsync(0);
    source.destroy();
    await vi.advanceTimersByTimeAsync(500);
    expect(rated.readableEnded).toBe(false);
    await vi.advanceTimersByTimeAsync(500);
    expect(rated.readableEnded).toBe(true);
    expect(bytes()).toHaveLength(BURST + 10 * kB);
  });

  test("loses nothing when other code resumes the source, as Node does with the stdout of an ended child", async () => {
    const source = new PassThrough();
    const { bytes } = collect(readAtRate(source, 10 * kB));
    const all = numbered(BURST + 20 * kB);
    for (const piece of [all.subarray(0, BURST), all.subarray(BURST, -kB), all.subarray(-kB)]) {
      source.write(piece);
      source.resume();
      await vi.advanceTimersByTimeAsync(0);
    }
    source.end();
    await vi.advanceTimersByTimeAsync(2000);
    expect(bytes().equals(all)).toBe(true);
  });

  test("passes a sink's error to its writer", async () => {
    const sink = new PassThrough();
    const rated = writeAtRate(sink, kB);
    const failed = vi.fn<(error: Error) => void>();
    rated.once("error", failed);
    rated.write(numbered(100 * kB));
    sink.destroy(Object.assign(new Error("EPIPE")));
    await vi.advanceTimersByTimeAsync(0);
    expect(failed).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: "EPIPE" }));
    expect(vi.getTimerCount()).toBe(0);
  });

  test("accepts nothing more when the sink is destroyed", async () => {
    const sink = new PassThrough();
    const rated = writeAtRate(sink, kB).on("error", () => {});
    sink.destroy();
    await vi.advanceTimersByTimeAsync(0);
    expect(rated.destroyed).toBe(true);
    const refused = vi.fn<(error?: Error | null) => void>();
    rated.write("words", refused);
    await vi.advanceTimersByTimeAsync(0);
    expect(refused).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: "ERR_STREAM_DESTROYED" }));
  });

  test("ends the sink after the last byte", async () => {
    const sink = new PassThrough();
    const said = text(sink);
    const rated = writeAtRate(sink, kB);
    rated.write("");
    rated.end("good-bye");
    await vi.advanceTimersByTimeAsync(0);
    expect(await said).toBe("good-bye");
  });

  test("destroys the underlying stream when it is destroyed, and leaves no timer", async () => {
    const [source, sink] = [new PassThrough(), new PassThrough().resume()];
    const [reading, writing] = [readAtRate(source, kB), writeAtRate(sink, kB)];
    source.write(numbered(100 * kB));
    writing.write(numbered(100 * kB));
    reading.resume();
    await vi.advanceTimersByTimeAsync(100);
    expect(vi.getTimerCount()).toBe(2);
    reading.destroy();
    writing.destroy();
    await vi.advanceTimersByTimeAsync(0);
    expect([source.destroyed, sink.destroyed]).toEqual([true, true]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
