import { promisify } from "node:util";
import { constants, gzip as gzipCallback } from "node:zlib";
import { sampleOf, splitIntoBlocks } from "./blocks.ts";
import { mapInOrder } from "./map-in-order.ts";

const gzipBuffer = promisify(gzipCallback);

/**
 * Bytes that are compressed as one gzip member. A match reaches back 32 kB at most, so with blocks of this size the output is less than 1 %
 * larger than a single member.
 */
const BLOCK = 512 * 1024;
/** Blocks that are compressed at the same time: libuv's pool has four threads. The memory is that of twice as many blocks. */
const CONCURRENCY = 4;
const LEVEL = 6;
/**
 * If the compressed sample of a block is larger than this share, the block is already compressed: gzip does 25 MB/s on it and gains
 * nothing.
 */
const TOO_DENSE = 0.97;

/**
 * Compresses to gzip (RFC 1952) on several cores, in blocks that become consecutive members of one file. Every gunzip reads them as one
 * file. Stores blocks of already compressed data uncompressed.
 *
 * @param level 1 to 9
 */
export async function* gzip(plain: AsyncIterable<Buffer>, level: number = LEVEL): AsyncGenerator<Buffer> {
  const work = async (block: Buffer): Promise<Buffer> => await gzipBlock(block, level);
  let isEmpty = true;
  for await (const member of mapInOrder(splitIntoBlocks(plain, BLOCK), work, CONCURRENCY)) {
    isEmpty = false;
    yield member;
  }
  if (isEmpty) yield await work(Buffer.alloc(0)); // an empty file is one member
}

async function gzipBlock(block: Buffer, level: number): Promise<Buffer> {
  return await gzipBuffer(block, { level: (await isDense(block)) ? constants.Z_NO_COMPRESSION : level });
}

async function isDense(block: Buffer): Promise<boolean> {
  const sample = sampleOf(block);
  return sample !== undefined && (await gzipBuffer(sample, { level: 1 })).length > sample.length * TOO_DENSE;
}
