/** Splits a stream into blocks of `size` bytes, each in one buffer. The last block may be shorter; an empty stream has no blocks. */
export async function* splitIntoBlocks(chunks: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let have = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    while (have + rest.length >= size) {
      const end = size - have;
      yield Buffer.concat([...pending, rest.subarray(0, end)]);
      rest = rest.subarray(end);
      pending = [];
      have = 0;
    }
    if (rest.length > 0) pending.push(rest);
    have += rest.length;
  }
  if (have > 0) yield Buffer.concat(pending);
}

/** The sample that shows whether a block is compressible: `bytes` bytes from each of `count` points spread over it. */
const SAMPLE = { bytes: 8 * 1024, count: 8 };

/** Returns a sample from all over a block; undefined if the block is so small that compressing it costs less than a sample. */
export function sampleOf(block: Buffer): Buffer | undefined {
  const { bytes, count } = SAMPLE;
  const step = Math.floor(block.length / count);
  if (step < 2 * bytes) return undefined;
  return Buffer.concat(Array.from({ length: count }, (_, index) => block.subarray(index * step, index * step + bytes)));
}
