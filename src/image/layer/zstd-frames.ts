import type { Transform } from "node:stream";
import * as zlib from "node:zlib";
import { InvalidImage } from "../invalid-image.ts";

/** zstd:chunked has one frame for each file of a layer, some tens of thousands. Each frame costs a decoder. */
const MAX_FRAMES = 1_000_000;

/** Available since Node 22.15 and 23.8. The types of Node 20 lack it. */
type ZstdDecoder = Transform & { readonly bytesWritten: number };
const { createZstdDecompress } = zlib as { createZstdDecompress?: () => ZstdDecoder };

/** Whether this Node can decompress zstd. */
export const hasZstd = createZstdDecompress !== undefined;

/**
 * Decompresses zstd (RFC 8878, section 3: consecutive frames, which may be skippable). Node's decoder ends with the first frame, but pzstd
 * and Podman's zstd:chunked write many. Each frame gets its own decoder.
 * Throws zlib's errors, and `InvalidImage` for more than {@link MAX_FRAMES} frames.
 */
export async function* decompressZstd(compressed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (createZstdDecompress === undefined) throw new Error("this Node has no zstd");
  const input = compressed[Symbol.asyncIterator]();
  let rest = await nextChunk(input);
  for (let frames = 0; rest !== undefined; frames += 1) {
    if (frames === MAX_FRAMES) throw new InvalidImage(`it has a layer of more than ${MAX_FRAMES} zstd frames`);
    const decoder = createZstdDecompress();
    const fed = feedFrame(decoder, rest, input);
    fed.catch((error: Error) => decoder.destroy(error));
    yield* decoder as AsyncIterable<Buffer>;
    rest = await fed;
  }
}

/** Feeds one frame to a decoder, a chunk at a time. Resolves to the bytes after the frame; undefined at the end of the input. */
async function feedFrame(
  decoder: ZstdDecoder,
  first: Buffer,
  input: AsyncIterator<Buffer>,
): Promise<Buffer | undefined> {
  let written = 0;
  for (let chunk: Buffer | undefined = first; chunk !== undefined; chunk = await nextChunk(input)) {
    written += chunk.length;
    await write(decoder, chunk);
    const left = written - decoder.bytesWritten;
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

/** Returns the next chunk that is not empty. */
async function nextChunk(input: AsyncIterator<Buffer>): Promise<Buffer | undefined> {
  for (;;) {
    const { done, value } = await input.next();
    if (done === true) return undefined;
    if (value.length > 0) return value;
  }
}
