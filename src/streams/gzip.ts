import { promisify } from "node:util";
import { constants, gzip as gzipOf } from "node:zlib";
import { splitIntoBlocks, sampleOf } from "./blocks.ts";
import { mapInOrder } from "./map-in-order.ts";

const gzipBlock = promisify(gzipOf);

/**
 * Bytes that are packed as one gzip member. A match reaches back 32 kB at most, so that blocks of this size lose less than 1 % of
 * what one stream would gain.
 */
const BLOCK = 512 * 1024;
/** Blocks being packed at once: libuv's pool has four threads. Memory: twice this many blocks. */
const AT_ONCE = 4;
const LEVEL = 6;
/** A sample that keeps more than this part of its size is packed already: gzip goes through it at 25 MB/s and gains nothing. */
const TOO_DENSE = 0.97;

/**
 * Gzip (RFC 1952) on several cores: blocks are packed at the same time and follow each other as members of one file, which
 * every gunzip takes for one. Blocks of what is packed already are stored as they are.
 *
 * @param level 1 to 9
 */
export async function* gzip(plain: AsyncIterable<Buffer>, level: number = LEVEL): AsyncGenerator<Buffer> {
  const work = async (block: Buffer): Promise<Buffer> => await packBlock(block, level);
  let isEmpty = true;
  for await (const member of mapInOrder(splitIntoBlocks(plain, BLOCK), work, AT_ONCE)) {
    isEmpty = false;
    yield member;
  }
  if (isEmpty) yield await work(Buffer.alloc(0)); // an empty file is one member
}

async function packBlock(block: Buffer, level: number): Promise<Buffer> {
  return await gzipBlock(block, { level: (await isDense(block)) ? constants.Z_NO_COMPRESSION : level });
}

async function isDense(block: Buffer): Promise<boolean> {
  const sample = sampleOf(block);
  return sample !== undefined && (await gzipBlock(sample, { level: 1 })).length > sample.length * TOO_DENSE;
}
