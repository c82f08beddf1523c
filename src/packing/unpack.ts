import { mapInOrder } from "../streams/map-in-order.ts";
import { CODECS } from "./codecs.ts";
import { BLOCK, END, HEADER, STORED } from "./pack.ts";

/** Blocks. Three of 2 MB were unpacked at 900 MB/s; what has arrived of them is lost when this is killed. */
const AT_ONCE = 3;

/** What came is not a packed stream. */
export class InvalidPackedStream extends Error {
  override readonly name = "BadPacking";
}

/**
 * The bytes that {@link pack} was given. Throws {@link InvalidPackedStream} for what is malformed, cut off, or has a block that is
 * larger than it says: it is hostile input. A few blocks are in memory.
 */
export async function* unpack(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* mapInOrder(framedBlocks(packed), unpackBlock, AT_ONCE);
}

interface Block {
  codec: number;
  packed: Buffer;
  /** Bytes when unpacked. */
  size: number;
}

async function unpackBlock({ codec, packed, size }: Block): Promise<Buffer> {
  const plain = codec === STORED ? packed : await decompress(codec, packed, size);
  if (plain.length !== size) throw new InvalidPackedStream(`a block has ${plain.length} bytes, not ${size}`);
  return plain;
}

async function decompress(id: number, packed: Buffer, size: number): Promise<Buffer> {
  const codec = CODECS.find((one) => one.id === id);
  if (codec === undefined) throw new InvalidPackedStream(`a block is packed in the way ${id}, which is not known here`);
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
  /** The next bytes, in one piece. */
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
    if (have > 0 || !(await chunks.next()).done) throw new InvalidPackedStream("something comes behind its end");
  } finally {
    await chunks.return?.();
  }
}
