import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gunzipSync, gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { gzip } from "../../../src/streams/gzip.ts";

const KB = 1024;

/** Returns text that gzip compresses by about 4 to 1, like source code. */
function text(bytes: number): Buffer {
  const words: string[] = [];
  for (let length = 0, line = 0; length < bytes; line++) {
    const word = `${createHash("md5").update(String(line)).digest("hex").slice(0, 6)} const value = require("module");\n`;
    words.push(word);
    length += word.length;
  }
  return Buffer.from(words.join("")).subarray(0, bytes);
}

function compressed(...chunks: Buffer[]): Promise<Buffer> {
  return buffer(gzip(Readable.from(chunks)));
}

test.each([
  ["nothing", 0],
  ["one byte", 1],
  ["a block minus one byte", 512 * KB - 1],
  ["a block", 512 * KB],
  ["several blocks and some bytes", 5 * 512 * KB + 17],
])("%s decompresses to the same bytes", async (_, size) => {
  const content = text(size);
  expect(gunzipSync(await compressed(content)).equals(content)).toBe(true);
});

test("yields the same bytes for any chunk sizes of the source", async () => {
  const content = text(1200 * KB);
  const portions: Buffer[] = [];
  for (let at = 0, step = 1; at < content.length; at += step, step = (step * 7) % 300_007) {
    portions.push(content.subarray(at, at + step));
  }
  expect((await compressed(...portions)).equals(await compressed(content))).toBe(true);
});

test("compresses nearly as well as a single gzip member", async () => {
  const content = text(4000 * KB);
  expect((await compressed(content)).length).toBeLessThan(gzipSync(content).length * 1.02);
});

test("stores compressed data uncompressed", async () => {
  const content = randomBytes(2000 * KB);
  const result = await compressed(content, text(600 * KB));
  expect(result.length).toBeLessThan(content.length + 300 * KB);
  expect(result.indexOf(content.subarray(0, 1000))).toBeGreaterThan(0);
});

test("compresses a block of text with noise in its middle", async () => {
  const content = Buffer.concat([text(240 * KB), randomBytes(32 * KB), text(240 * KB)]);
  expect((await compressed(content)).length).toBeLessThan(content.length / 2);
});

test("reads no more than a few blocks ahead of its reader", async () => {
  let read = 0;
  const source = Readable.from(
    (function* () {
      for (;;) {
        read += 64 * KB;
        yield randomBytes(64 * KB);
      }
    })(),
  );
  const stream = Readable.from(gzip(source));
  await new Promise((resolve) => stream.once("readable", resolve));
  await new Promise((resolve) => setImmediate(resolve));
  expect(read).toBeLessThan(8 * 512 * KB);
  stream.destroy();
});

test("passes on an error of the source", async () => {
  const source = Readable.from(
    (function* () {
      yield text(600 * KB);
      throw new Error("the file is shorter than it was");
    })(),
  );
  await expect(buffer(gzip(source))).rejects.toThrow("the file is shorter");
});
