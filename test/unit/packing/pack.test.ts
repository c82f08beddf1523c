import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { LEVELS, type CodecName } from "../../../src/packing/compress-option.ts";
import { CODECS, commonCodec } from "../../../src/packing/codecs.ts";
import { BLOCK, END, HEADER, pack } from "../../../src/packing/pack.ts";
import { unpack } from "../../../src/packing/unpack.ts";

const brotli = commonCodec(["brotli"]);

async function* chunksOf(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const found: Buffer[] = [];
  for await (const chunk of chunks) found.push(chunk);
  return Buffer.concat(found);
}

async function packed(bytes: Buffer, codec = brotli, level = codec?.levels.medium): Promise<Buffer> {
  return await all(pack(chunksOf(bytes, 100_000), { codec, level: () => level }));
}

const text = Buffer.from("this text can be compressed well. ".repeat(200_000));
const noise = randomBytes(BLOCK + 5);

describe.each(CODECS.map(({ name }) => name as CodecName))("%s", (name) => {
  const codec = commonCodec([name]);

  test.each<[string, Buffer]>([
    ["nothing", Buffer.alloc(0)],
    ["one byte", Buffer.from("x")],
    ["a block", Buffer.alloc(BLOCK, "ab")],
    ["a block and a byte", Buffer.alloc(BLOCK + 1, "ab")],
    ["text", text],
    ["noise", noise],
    ["noise, then text, then noise", Buffer.concat([noise, text, noise])],
  ])("unpacks to the same bytes, in chunks of any size: %s", async (_name, bytes) => {
    for (const level of Object.values(codec?.levels ?? {})) {
      const result = await packed(bytes, codec, level);
      for (const size of [1000, 65_536, 5_000_000]) {
        expect((await all(unpack(chunksOf(result, size)))).equals(bytes)).toBe(true);
      }
    }
  });

  test("packs smaller with the highest level than with the lowest", async () => {
    const some = Buffer.from(Array.from({ length: 20_000 }, (_, at) => `${at * at} said twice`).join(""));
    const sizes: number[] = [];
    for (const level of LEVELS[name]) {
      const result = await packed(some, codec, level);
      expect((await all(unpack(chunksOf(result, 5000)))).equals(some)).toBe(true);
      sizes.push(result.length);
    }
    expect(sizes[1]).toBeLessThan(sizes[0] ?? 0);
  });
});

test("makes text small and noise hardly larger, and compresses text after noise", async () => {
  expect((await packed(text)).length).toBeLessThan(text.length / 100);
  expect((await packed(noise)).length).toBe(noise.length + 3 * HEADER);
  const mixed = await packed(Buffer.concat([noise.subarray(0, BLOCK), text]));
  expect(mixed.length).toBeLessThan(BLOCK + text.length / 100);
});

test("compresses a block of text with noise in its middle, also after noise", async () => {
  const half = text.subarray(0, BLOCK / 4);
  const mixed = Buffer.concat([half, half, noise.subarray(0, BLOCK / 4), half]);
  expect((await packed(mixed)).length).toBeLessThan(BLOCK / 3);
  const behind = await packed(Buffer.concat([noise.subarray(0, BLOCK), mixed]));
  expect(behind.length).toBeLessThan(BLOCK + BLOCK / 3);
});

test("only frames bytes without a common codec", async () => {
  expect(commonCodec(["zip", "rot13"])).toBeUndefined();
  const framed = await all(pack(chunksOf(text.subarray(0, 1000), 10), { codec: undefined, level: () => 5 }));
  expect(framed.length).toBe(1000 + 2 * HEADER);
});

test("requests the level of each block", async () => {
  const asked: number[] = [];
  const level = (): number => (asked.push(0), 0);
  await all(pack(chunksOf(text, 100_000), { codec: brotli, level }));
  expect(asked).toHaveLength(Math.ceil(text.length / BLOCK));
});

test("reads only as much as keeps the cores busy", async () => {
  let read = 0;
  async function* source(): AsyncGenerator<Buffer> {
    for (; read < 1000; read++) yield Buffer.alloc(BLOCK);
  }
  const packing = pack(source(), { codec: brotli, level: () => 0 });
  await packing.next();
  expect(read).toBeLessThanOrEqual(availableParallelism() + 3);
  await packing.return(undefined);
});

function block(codec: number, length: number, size: number, bytes: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(codec, 0);
  header.writeUInt32BE(length, 1);
  header.writeUInt32BE(size, 5);
  return Buffer.concat([header, bytes]);
}

const END_BLOCK = block(END, 0, 0);

const twice = Buffer.concat([gzipSync("123"), gzipSync("456789ab")]);

describe("rejects an invalid stream:", () => {
  test.each<[string, Buffer, string]>([
    ["no bytes", Buffer.alloc(0), "ends in the middle"],
    ["a truncated end", END_BLOCK.subarray(0, 5), "ends in the middle"],
    ["no end", block(0, 3, 3, Buffer.from("abc")), "ends in the middle"],
    ["a truncated block", block(0, 3, 3, Buffer.from("ab")), "ends in the middle"],
    ["bytes after the end", Buffer.concat([END_BLOCK, Buffer.from("x")]), "bytes follow its end"],
    ["a block of 4 GB", block(1, 10, 2 ** 32 - 1), "a block of 4294967295 bytes"],
    ["a block packed in 4 GB", block(1, 2 ** 32 - 1, 10), "a block of 10 bytes in 4294967295"],
    ["an unknown codec", Buffer.concat([block(77, 1, 1, Buffer.from("x")), END_BLOCK]), "unknown codec 77"],
    ["invalid brotli", Buffer.concat([block(1, 3, 9, Buffer.from("abc")), END_BLOCK]), "cannot be unpacked"],
    ["invalid gzip", Buffer.concat([block(3, 3, 9, Buffer.from("abc")), END_BLOCK]), "cannot be unpacked"],
    [
      "truncated gzip",
      Buffer.concat([block(3, 9, 9, gzipSync("123456789").subarray(0, 9)), END_BLOCK]),
      "cannot be unpacked",
    ],
    [
      "more gzip than announced in the header, in two members",
      Buffer.concat([block(3, twice.length, 9, twice), END_BLOCK]),
      "cannot be unpacked",
    ],
    ["a stored block of another size", Buffer.concat([block(0, 3, 4, Buffer.from("abc")), END_BLOCK]), "not 4"],
  ])("%s", async (_name, bytes, words) => {
    await expect(all(unpack(chunksOf(bytes, 4)))).rejects.toThrow(words);
  });

  test.each(CODECS)("a block of $name whose unpacked size differs from its header", async (codec) => {
    const { id, levels } = codec;
    for (const [plain, size] of [
      [BLOCK, 1000],
      [BLOCK, BLOCK - 1],
      [64 * BLOCK, BLOCK],
    ] as const) {
      const bomb = await codec.compress(Buffer.alloc(plain), levels.medium);
      const stream = Buffer.concat([block(id, bomb.length, size, bomb), END_BLOCK]);
      await expect(all(unpack(chunksOf(stream, 1000)))).rejects.toThrow("cannot be unpacked");
    }
    const short = await codec.compress(Buffer.alloc(10), levels.medium);
    const stream = Buffer.concat([block(id, short.length, 11, short), END_BLOCK]);
    await expect(all(unpack(chunksOf(stream, 4)))).rejects.toThrow("10 bytes, not 11");
  });

  test("passes on an error of the source, on either side", async () => {
    async function* broken(): AsyncGenerator<Buffer> {
      yield Buffer.alloc(HEADER - 1);
      throw new Error("it broke");
    }
    await expect(all(pack(broken(), { codec: brotli, level: () => 2 }))).rejects.toThrow("it broke");
    await expect(all(unpack(broken()))).rejects.toThrow("it broke");
  });
});
