import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { coalesce } from "../../../src/streams/coalesce.ts";
import { chopped, pseudoRandomBytes } from "../pseudo-random.ts";

const bytes = pseudoRandomBytes(50_000, 1);

async function chunksOf(chunks: AsyncIterable<Buffer>): Promise<{ sizes: number[]; failure?: unknown }> {
  const sizes: number[] = [];
  try {
    for await (const { length } of chunks) sizes.push(length);
    return { sizes };
  } catch (failure) {
    return { sizes, failure };
  }
}

test.each([1, 2, 3])("joins small chunks without loss (%i)", async (seed) => {
  const { sizes } = await chunksOf(coalesce(Readable.from(chopped(bytes, seed, 700)), 4000));
  expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThanOrEqual(4000);
  expect(Math.max(...sizes)).toBeLessThan(4700);
  expect((await buffer(coalesce(Readable.from(chopped(bytes, seed, 700)), 4000))).equals(bytes)).toBe(true);
});

test("passes large chunks unchanged", async () => {
  const chunks: Buffer[] = [];
  for await (const chunk of coalesce(Readable.from([bytes, bytes]), 4000)) chunks.push(chunk);
  expect(chunks).toEqual([bytes, bytes]);
  expect(chunks[0]).toBe(bytes);
});

test("yields nothing for an empty stream", async () => {
  expect(await chunksOf(coalesce(Readable.from([]), 4000))).toEqual({ sizes: [] });
});

test("yields the bytes before an error, then throws it", async () => {
  const failure = new Error("read ECONNRESET");
  async function* broken(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(10);
    yield Buffer.alloc(20);
    throw failure;
  }
  expect(await chunksOf(coalesce(broken(), 4000))).toEqual({ sizes: [30], failure });
});
