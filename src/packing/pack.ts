import { availableParallelism } from "node:os";
import { splitIntoBlocks, sampleOf } from "../streams/blocks.ts";
import type { Codec } from "./codecs.ts";
import { mapInOrder } from "../streams/map-in-order.ts";

/** The Content-Encoding of a packed response. Only the two sides of a transfer know it. */
export const PACKED_ENCODING = "docker-over-ssh-blocks";

/**
 * Bytes of a block. Blocks are compressed independently, so that up to three cores work at the same time and each block gets the current
 * effort. Larger blocks gain little and cost memory for every core on both sides: blocks of 2 MB make 2 % less output, and a sender on two
 * cores that packs with brotli's level 5 takes 250 MB instead of 199.
 */
export const BLOCK = 1024 * 1024;

/**
 * Blocks that are packed at the same time: one for each core, but at least two, so that one is read while the other is packed, and at most
 * three, with which a sender that packs with brotli's level 5 takes 200 MB (with four, 214).
 */
const CONCURRENCY = Math.min(3, Math.max(2, availableParallelism()));

/** Bytes of a block's header: the codec's number (1 byte), packed size and plain size in bytes (4 bytes each, big-endian). */
export const HEADER = 9;
/** The codec number of an uncompressed block. */
export const STORED = 0;
/** The codec number of the header that ends the stream: a stream without it is truncated. */
export const END = 255;

/** A block that keeps more than this share of its size is not worth compressing: photographs, archives, encrypted data. */
const WORTH_IT = 0.95;

export interface PackOptions {
  /** If undefined, blocks are only framed. */
  codec: Codec | undefined;
  /** Returns the codec's level for the next block; undefined if the block is not compressed. */
  level: () => number | undefined;
  /** Makes each chunk a block of at most {@link BLOCK} bytes, for a reader that follows a growing source. */
  blockPerChunk?: boolean | undefined;
}

/**
 * Packs bytes for the transfer: blocks, each after a {@link HEADER}, and an {@link END}. Stores incompressible blocks uncompressed. Keeps
 * some blocks for each core in memory, whatever the length.
 */
export async function* pack(
  plain: AsyncIterable<Buffer>,
  { codec, level, blockPerChunk = false }: PackOptions,
): AsyncGenerator<Buffer> {
  const suspicion = { isDense: false };
  const work = async (block: Buffer): Promise<Buffer[]> => await packBlock(block, codec, level(), suspicion);
  const blocks = blockPerChunk ? plain : splitIntoBlocks(plain, BLOCK);
  for await (const packed of mapInOrder(blocks, work, CONCURRENCY)) yield* packed;
  yield header(END, 0, 0);
}

/** After a barely compressible block, a sample of the next block is tried first, because a full try costs an encoder. */
interface Suspicion {
  isDense: boolean;
}

async function packBlock(
  block: Buffer,
  codec: Codec | undefined,
  level: number | undefined,
  suspicion: Suspicion,
): Promise<Buffer[]> {
  if (codec !== undefined && level !== undefined && (!suspicion.isDense || (await isWorthIt(block, codec)))) {
    const packed = await codec.compress(block, level);
    suspicion.isDense = packed.length > block.length * WORTH_IT;
    if (packed.length < block.length) return [header(codec.id, packed.length, block.length), packed];
    suspicion.isDense = true;
  }
  return [header(STORED, block.length, block.length), block];
}

async function isWorthIt(block: Buffer, codec: Codec): Promise<boolean> {
  const sample = sampleOf(block);
  return sample === undefined || (await codec.compress(sample, codec.levels.light)).length < sample.length * WORTH_IT;
}

function header(codec: number, packed: number, plain: number): Buffer {
  const bytes = Buffer.alloc(HEADER);
  bytes.writeUInt8(codec, 0);
  bytes.writeUInt32BE(packed, 1);
  bytes.writeUInt32BE(plain, 5);
  return bytes;
}
