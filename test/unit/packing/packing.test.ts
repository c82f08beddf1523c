import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { describe, expect, test } from "vitest";
import { CODECS, commonCodec, type Effort } from "../../../src/packing/codecs.ts";
import { BLOCK, END, HEADER, pack } from "../../../src/packing/pack.ts";
import { unpack } from "../../../src/packing/unpack.ts";

const brotli = commonCodec(["brotli"]);

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const found: Buffer[] = [];
  for await (const chunk of chunks) found.push(chunk);
  return Buffer.concat(found);
}

async function packed(bytes: Buffer, codec = brotli, effort: Effort = "medium"): Promise<Buffer> {
  return await all(pack(inPieces(bytes, 100_000), { codec, effort: () => effort }));
}

const text = Buffer.from("what is said twice is said once. ".repeat(200_000));
const noise = randomBytes(BLOCK + 5);

describe.each(CODECS.map(({ name }) => name))("%s", (name) => {
  const codec = commonCodec([name]);

  test.each<[string, Buffer]>([
    ["nothing", Buffer.alloc(0)],
    ["a byte", Buffer.from("x")],
    ["a block", Buffer.alloc(BLOCK, "ab")],
    ["a block and a byte", Buffer.alloc(BLOCK + 1, "ab")],
    ["text", text],
    ["noise", noise],
    ["noise, then text, then noise", Buffer.concat([noise, text, noise])],
  ])("%s comes back, however it is cut", async (_name, bytes) => {
    for (const effort of ["light", "medium", "strong"] as const) {
      const there = await packed(bytes, codec, effort);
      for (const size of [1000, 65_536, 5_000_000]) {
        expect((await all(unpack(inPieces(there, size)))).equals(bytes)).toBe(true);
      }
    }
  });
});

test("text becomes small, noise hardly larger, and text behind noise is compressed again", async () => {
  expect((await packed(text)).length).toBeLessThan(text.length / 100);
  expect((await packed(noise)).length).toBe(noise.length + 3 * HEADER);
  const mixed = await packed(Buffer.concat([noise.subarray(0, BLOCK), text]));
  expect(mixed.length).toBeLessThan(BLOCK + text.length / 100);
});

test("a block of text with noise in its middle is compressed, also behind noise", async () => {
  const half = text.subarray(0, BLOCK / 4);
  const mixed = Buffer.concat([half, half, noise.subarray(0, BLOCK / 4), half]);
  expect((await packed(mixed)).length).toBeLessThan(BLOCK / 3);
  const behind = await packed(Buffer.concat([noise.subarray(0, BLOCK), mixed]));
  expect(behind.length).toBeLessThan(BLOCK + BLOCK / 3);
});

test("without a codec in common, bytes are only framed", async () => {
  expect(commonCodec(["zip", "rot13"])).toBeUndefined();
  const framed = await all(pack(inPieces(text.subarray(0, 1000), 10), { codec: undefined, effort: () => "strong" }));
  expect(framed.length).toBe(1000 + 2 * HEADER);
});

test("effort is asked for each block", async () => {
  const asked: number[] = [];
  const effort = (): Effort => (asked.push(0), "light");
  await all(pack(inPieces(text, 100_000), { codec: brotli, effort }));
  expect(asked).toHaveLength(Math.ceil(text.length / BLOCK));
});

test("no more is read than is needed to keep the cores busy", async () => {
  let read = 0;
  async function* source(): AsyncGenerator<Buffer> {
    for (; read < 1000; read++) yield Buffer.alloc(BLOCK);
  }
  const packing = pack(source(), { codec: brotli, effort: () => "light" });
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

describe("what is not a packed stream is refused", () => {
  test.each<[string, Buffer, string]>([
    ["nothing at all", Buffer.alloc(0), "ends in the middle"],
    ["an end cut off", END_BLOCK.subarray(0, 5), "ends in the middle"],
    ["no end", block(0, 3, 3, Buffer.from("abc")), "ends in the middle"],
    ["a block cut off", block(0, 3, 3, Buffer.from("ab")), "ends in the middle"],
    ["something behind the end", Buffer.concat([END_BLOCK, Buffer.from("x")]), "behind its end"],
    ["a block of 4 GB", block(1, 10, 2 ** 32 - 1), "a block of 4294967295 bytes"],
    ["a block packed in 4 GB", block(1, 2 ** 32 - 1, 10), "a block of 10 bytes in 4294967295"],
    ["an unknown way", Buffer.concat([block(77, 1, 1, Buffer.from("x")), END_BLOCK]), "the way 77"],
    ["no brotli", Buffer.concat([block(1, 3, 9, Buffer.from("abc")), END_BLOCK]), "cannot be unpacked"],
    ["a plain block of another size", Buffer.concat([block(0, 3, 4, Buffer.from("abc")), END_BLOCK]), "not 4"],
  ])("%s", async (_name, bytes, words) => {
    await expect(all(unpack(inPieces(bytes, 4)))).rejects.toThrow(words);
  });

  test("a block that unpacks to more than it says, or less", async () => {
    const bomb = (await brotli?.compress(Buffer.alloc(BLOCK), "medium")) ?? Buffer.alloc(0);
    for (const size of [1000, BLOCK - 1]) {
      const stream = Buffer.concat([block(1, bomb.length, size, bomb), END_BLOCK]);
      await expect(all(unpack(inPieces(stream, 4)))).rejects.toThrow("cannot be unpacked");
    }
    const short = (await brotli?.compress(Buffer.alloc(10), "medium")) ?? Buffer.alloc(0);
    const stream = Buffer.concat([block(1, short.length, 11, short), END_BLOCK]);
    await expect(all(unpack(inPieces(stream, 4)))).rejects.toThrow("10 bytes, not 11");
  });

  test("an error of the source comes through, on either side", async () => {
    async function* broken(): AsyncGenerator<Buffer> {
      yield Buffer.alloc(HEADER - 1);
      throw new Error("it broke");
    }
    await expect(all(pack(broken(), { codec: brotli, effort: () => "medium" }))).rejects.toThrow("it broke");
    await expect(all(unpack(broken()))).rejects.toThrow("it broke");
  });
});
