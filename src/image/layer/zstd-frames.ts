import type { Transform } from "node:stream";
import * as zlib from "node:zlib";
import { InvalidImage } from "../manifest.ts";

/** zstd:chunked has one for each file of a layer, some tens of thousands. Each costs a decoder. */
const MAX_FRAMES = 1_000_000;

/** Since Node 22.15 and 23.8; the types are of Node 20. */
type ZstdDecoder = Transform & { readonly bytesWritten: number };
const { createZstdDecompress } = zlib as { createZstdDecompress?: () => ZstdDecoder };

/** Can this Node unpack zstd? */
export const hasZstd = createZstdDecompress !== undefined;

/**
 * Unpacks zstd (RFC 8878, section 3: one frame after the other, some of which may be skippable). Node's decoder ends with the
 * first frame, while pzstd and Podman's zstd:chunked write many: each gets a decoder of its own.
 * Throws zlib's errors, and `InvalidImage` for frames without end.
 */
export async function* decompressZstd(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (createZstdDecompress === undefined) throw new Error("this Node has no zstd");
  const input = packed[Symbol.asyncIterator]();
  let rest = await nextOf(input);
  for (let frames = 0; rest !== undefined; frames += 1) {
    if (frames === MAX_FRAMES) throw new InvalidImage(`it has a layer of more than ${MAX_FRAMES} zstd frames`);
    const decoder = createZstdDecompress();
    const fed = feed(decoder, rest, input);
    fed.catch((error: Error) => decoder.destroy(error));
    yield* decoder as AsyncIterable<Buffer>;
    rest = await fed;
  }
}

/** Gives a decoder its frame; resolves to the first bytes after it. A chunk at a time: what follows would be an error to it. */
async function feed(decoder: ZstdDecoder, first: Buffer, input: AsyncIterator<Buffer>): Promise<Buffer | undefined> {
  let given = 0;
  for (let chunk: Buffer | undefined = first; chunk !== undefined; chunk = await nextOf(input)) {
    given += chunk.length;
    await write(decoder, chunk);
    const left = given - decoder.bytesWritten;
    if (left > 0) return chunk.subarray(chunk.length - left);
  }
  decoder.end();
  return undefined;
}

async function write(decoder: ZstdDecoder, chunk: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    decoder.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

/** Never an empty chunk. */
async function nextOf(input: AsyncIterator<Buffer>): Promise<Buffer | undefined> {
  for (;;) {
    const { done, value } = await input.next();
    if (done === true) return undefined;
    if (value.length > 0) return value;
  }
}
