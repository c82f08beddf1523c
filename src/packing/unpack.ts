import { mapInOrder } from "../streams/map-in-order.ts";
import { CODECS } from "./codecs.ts";
import { BLOCK, END, HEADER, STORED } from "./pack.ts";

/**
 * Blocks that are unpacked at the same time. Three blocks of 2 MB are unpacked at 900 MB/s. Blocks in memory are lost if the process is
 * killed.
 */
const CONCURRENCY = 3;

/** Thrown for bytes that are not a packed stream. */
export class InvalidPackedStream extends Error {
  override readonly name = "InvalidPackedStream";
}

/**
 * Unpacks the output of `pack`. The input is untrusted: throws {@link InvalidPackedStream} if it is malformed or truncated, or if the size
 * of a block differs from its header. Keeps a few blocks in memory.
 */
export async function* unpack(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* mapInOrder(framedBlocks(packed), unpackBlock, CONCURRENCY);
}

interface Block {
  codec: number;
  packed: Buffer;
  /** The unpacked size in bytes. */
  size: number;
}

async function unpackBlock({ codec, packed, size }: Block): Promise<Buffer> {
  const plain = codec === STORED ? packed : await decompress(codec, packed, size);
  if (plain.length !== size) throw new InvalidPackedStream(`a block has ${plain.length} bytes, not ${size}`);
  return plain;
}

async function decompress(id: number, packed: Buffer, size: number): Promise<Buffer> {
  const codec = CODECS.find((one) => one.id === id);
  if (codec === undefined) throw new InvalidPackedStream(`a block has the unknown codec ${id}`);
  try {
    return await codec.decompress(packed, size);
  } catch (error) {
    throw new InvalidPackedStream(`a block cannot be unpacked: ${(error as Error).message}`, { cause: error });
  }
}

async function* framedBlocks(packed: AsyncIterable<Buffer>): AsyncGenerator<Block> {
  const chunks = packed[Symbol.asyncIterator]();
  let pending: Buffer[] = [];
  let have = 0;
  /** Returns the next bytes in one buffer. */
  const take = async (count: number): Promise<Buffer> => {
    while (have < count) {
      const next = await chunks.next();
      if (next.done) throw new InvalidPackedStream("it ends in the middle");
      pending.push(next.value);
      have += next.value.length;
    }
    const all = pending.length === 1 ? (pending[0] ?? Buffer.alloc(0)) : Buffer.concat(pending);
    pending = [all.subarray(count)];
    have = all.length - count;
    return all.subarray(0, count);
  };
  try {
    for (;;) {
      const header = await take(HEADER);
      const [codec, length, size] = [header.readUInt8(0), header.readUInt32BE(1), header.readUInt32BE(5)];
      if (codec === END) break;
      if (length > BLOCK || size > BLOCK || size === 0)
        throw new InvalidPackedStream(`a block of ${size} bytes in ${length}`);
      yield { codec, packed: await take(length), size };
    }
    if (have > 0 || !(await chunks.next()).done) throw new InvalidPackedStream("bytes follow its end");
  } finally {
    await chunks.return?.();
  }
}
