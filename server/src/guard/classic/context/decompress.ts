import { Readable, type Transform } from "node:stream";
import { createGunzip } from "node:zlib";
import { contextTooLarge } from "../../limits/refusals.ts";
import { Refusal } from "../../refusal.ts";

/** First bytes of compressed data that the guard cannot decompress */
const UNREADABLE: readonly (readonly [start: Buffer, name: string])[] = [
  [Buffer.from("BZh"), "bzip2"],
  [Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a]), "xz"],
  [Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), "zstd"],
];
const GZIP = Buffer.from([0x1f, 0x8b]);
/** Bytes that identify a compression */
const MAX_MAGIC = 5;

/**
 * Yields the tar of a context, which may be compressed with gzip. Owns `source`.
 *
 * @param limit bytes of the tar
 * @throws Refusal 400 `context.compression`, `context.invalid`; 413 `context.size`
 */
export async function* decompress(source: Readable, limit: number): AsyncGenerator<Buffer> {
  let unzip: Transform | undefined;
  try {
    const chunks = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    const { start, isWhole } = await readStart(chunks);
    const unreadable = UNREADABLE.find(([magic]) => start.subarray(0, magic.length).equals(magic));
    if (unreadable !== undefined) {
      throw new Refusal(
        "context.compression",
        `the context is compressed with ${unreadable[1]}, which cannot be read here: send a tar, plain or in gzip`,
        { statusCode: 400 },
      );
    }
    const plain = isWhole ? [start] : continued(start, chunks);
    if (!start.subarray(0, GZIP.length).equals(GZIP)) return yield* limited(plain, limit);
    unzip = Readable.from(plain, { objectMode: false })
      .on("error", (error) => unzip?.destroy(error))
      .pipe(createGunzip());
    yield* limited(unzip as AsyncIterable<Buffer>, limit);
  } catch (error) {
    throw isZlib(error)
      ? new Refusal("context.invalid", "the context is damaged: its gzip data ends too early or is corrupt", {
          statusCode: 400,
          cause: error,
        })
      : error;
  } finally {
    unzip?.destroy();
    source.destroy();
  }
}

async function readStart(chunks: AsyncIterator<Buffer>): Promise<{ start: Buffer; isWhole: boolean }> {
  let start: Buffer = Buffer.alloc(0);
  while (start.length < MAX_MAGIC) {
    const { done, value } = await chunks.next();
    if (done === true) return { start, isWhole: true };
    start = Buffer.concat([start, value]);
  }
  return { start, isWhole: false };
}

async function* continued(start: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield start;
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
}

async function* limited(chunks: AsyncIterable<Buffer> | Iterable<Buffer>, limit: number): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > limit) throw contextTooLarge(limit);
    yield chunk;
  }
}

function isZlib(error: unknown): boolean {
  return String((error as NodeJS.ErrnoException).code).startsWith("Z_");
}
