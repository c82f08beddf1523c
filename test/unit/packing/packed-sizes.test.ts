import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { CODECS } from "../../../src/packing/codecs.ts";
import { PackedSizes } from "../../../src/packing/packed-sizes.ts";
import { PacedPacker } from "../../../src/packing/paced-packer.ts";
import { pseudoRandomBytes } from "../pseudo-random.ts";

const MB = 1_000_000;
const FAST = 1000 * MB;

/** Returns bytes whose second half is text, so that blocks differ. */
function content(size: number): Buffer {
  const text = Buffer.from("some words that repeat, but not too often: ".repeat(size / 40));
  return Buffer.concat([pseudoRandomBytes(size / 2, 1), text.subarray(0, size / 2)]);
}

const streamOf = (bytes: Buffer): Readable => Readable.from([bytes], { objectMode: false });

async function packed(packer: PacedPacker, bytes: Buffer): Promise<number> {
  let size = 0;
  for await (const chunk of packer.pack(streamOf(bytes) as AsyncIterable<Buffer>)) size += chunk.length;
  return size;
}

const [codec] = CODECS;

test("packs all of a small layer", async () => {
  const bytes = content(3 * MB);
  const size = await new PacedPacker({ codec }).sizeOf(streamOf(bytes), bytes.length, FAST);
  expect(size).toEqual({ bytes: await packed(new PacedPacker({ codec }), bytes), isExact: false });
});

test("packs every nth block of a large layer", async () => {
  const bytes = content(24 * MB);
  const light = { codec, level: codec?.levels.light };
  const { bytes: size } = await new PackedSizes(light, 6 * MB).sizeOf(streamOf(bytes), bytes.length, FAST);
  const all = await packed(new PacedPacker(light), bytes);
  expect(Math.abs(size - all)).toBeLessThan(all * 0.1);
});

test("packs layers more strongly for a slow link", async () => {
  // A program, which every codec compresses better at a higher level.
  await using program = await open(process.execPath);
  const { buffer: bytes } = await program.read(Buffer.alloc(34 * MB), 0, 34 * MB, 10 * MB);
  const sizeAt = async (rate: number): Promise<number> =>
    (await new PackedSizes({ codec }).sizeOf(streamOf(bytes), bytes.length, rate)).bytes;
  expect(await sizeAt(1000)).toBeLessThan(await sizeAt(1000 * FAST));
});

test("returns the exact size of framed blocks without a codec, and reads nothing", async () => {
  const bytes = content(3 * MB);
  const stream = streamOf(bytes);
  const size = await new PacedPacker({}).sizeOf(stream, bytes.length, FAST);
  expect(size).toEqual({ bytes: await packed(new PacedPacker({}), bytes), isExact: true });
  expect(stream.destroyed).toBe(true);
});

test("returns the size of an empty layer", async () => {
  const size = await new PacedPacker({ codec }).sizeOf(streamOf(Buffer.alloc(0)), 0, FAST);
  expect(size.bytes).toBe(await packed(new PacedPacker({ codec }), Buffer.alloc(0)));
});
