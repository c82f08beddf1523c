import { Transform, type TransformCallback } from "node:stream";
import { promisify } from "node:util";
import { constants, gzip as gzipOf } from "node:zlib";

const gzipBlock = promisify(gzipOf);

/**
 * Bytes that are packed as one gzip member. A match reaches back 32 kB at most, so that blocks of this size lose less than 1 % of
 * what one stream would gain.
 */
const BLOCK = 512 * 1024;
/** Blocks being packed at once: libuv's pool has four threads. Memory: twice this many blocks. */
const AT_ONCE = 4;
const LEVEL = 6;
/** Bytes of a block that tell whether packing it is worth the time. */
const SAMPLE = 32 * 1024;
/** A sample that keeps more than this part of its size is packed already: gzip goes through it at 25 MB/s and gains nothing. */
const TOO_DENSE = 0.97;

/**
 * Gzip (RFC 1952) on several cores: blocks are packed at the same time and follow each other as members of one file, which
 * every gunzip takes for one. Blocks of what is packed already are stored as they are.
 */
export function gzip(): Transform {
  let pending: Buffer[] = [];
  let size = 0;
  const underway: Promise<Buffer>[] = [];

  const begin = (): void => {
    const block = Buffer.concat(pending);
    pending = [];
    size = 0;
    const packing = packBlock(block);
    packing.catch(() => {}); // whoever awaits it hears of it
    underway.push(packing);
  };
  const hand = async (stream: Transform, most: number): Promise<void> => {
    while (underway.length > most) stream.push(await underway.shift());
  };

  return new Transform({
    async transform(chunk: Buffer, _encoding, done: TransformCallback) {
      try {
        for (let rest = chunk; rest.length > 0;) {
          const part = rest.subarray(0, BLOCK - size);
          rest = rest.subarray(part.length);
          pending.push(part);
          size += part.length;
          if (size < BLOCK) continue;
          begin();
          await hand(this, AT_ONCE - 1);
        }
        done();
      } catch (error) {
        done(error as Error);
      }
    },
    async flush(done: TransformCallback) {
      try {
        begin(); // also of nothing: an empty file is one member
        await hand(this, 0);
        done();
      } catch (error) {
        done(error as Error);
      }
    },
  });
}

async function packBlock(block: Buffer): Promise<Buffer> {
  const dense = block.length > SAMPLE && (await isDense(block));
  return await gzipBlock(block, { level: dense ? constants.Z_NO_COMPRESSION : LEVEL });
}

async function isDense(block: Buffer): Promise<boolean> {
  const from = (block.length - SAMPLE) >> 1;
  const sample = await gzipBlock(block.subarray(from, from + SAMPLE), { level: 1 });
  return sample.length > SAMPLE * TOO_DENSE;
}
