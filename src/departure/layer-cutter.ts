import { createReadStream, createWriteStream } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { cut } from "../delta/cut.ts";
import { encodeRecipe } from "../delta/encode-recipe.ts";
import { decodeMissing, maxMissingBytes } from "../delta/missing.ts";
import { SentPieces } from "../delta/sent-pieces.ts";
import { hexOf, type Digest } from "../image/digest.ts";
import type { PacedPacker } from "../packing/pace.ts";
import type { StoredBlob } from "../registry/embedded/content.ts";
import type { LazySpool } from "../store/spool.ts";

/** Bytes, stored, from which on a layer is cut: the recipe of a smaller one, and a round trip more, cost as much as it does. */
const WORTH_IT = 512 * 1024;

/** Cuts plain layers into pieces, of which the receiver may have some (delta/). Layer and recipe wait in files of the spool. */
export class LayerCutter {
  readonly #spool: LazySpool;
  readonly #packer: PacedPacker;

  constructor(spool: LazySpool, packer: PacedPacker) {
    this.#spool = spool;
    this.#packer = packer;
  }

  /** `size`: bytes as it is stored. */
  isWorthIt(size: number): boolean {
    return size >= WORTH_IT;
  }

  /** The layer as a blob, plain, that can be had in pieces. Rejects with what `plain` fails with. */
  async cut(diffId: Digest, plain: AsyncIterable<Buffer>): Promise<StoredBlob> {
    const spool = await this.#spool.open();
    const path = spool.pathFor(hexOf(diffId));
    const recipePath = spool.pathFor(`${hexOf(diffId)}.recipe`);
    const pieces = new SentPieces();
    {
      await using file = await open(path, "w", 0o600);
      const recipe = encodeRecipe(cut(kept(plain, file)), { pieces });
      await pipeline(recipe, createWriteStream(recipePath, { mode: 0o600 }));
    }
    const { size } = await stat(path);
    const packed = (bytes: AsyncIterable<Buffer>): Readable =>
      Readable.from(this.#packer.pack(bytes), { objectMode: false });
    return {
      size,
      open: ({ first, last } = { first: 0, last: size - 1 }) => createReadStream(path, { start: first, end: last }),
      packed: (first) => ({ first, stream: packed(createReadStream(path, { start: first })) }),
      cut: {
        recipe: () => packed(createReadStream(recipePath)),
        pieces: async (list) => {
          const missing = decodeMissing(await atMost(list, maxMissingBytes(pieces.count)), pieces.count);
          return packed(piecesIn(path, pieces, missing));
        },
      },
    };
  }
}

/** Passes bytes on that have been written. */
async function* kept(bytes: AsyncIterable<Buffer>, file: FileHandle): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    for (let written = 0; written < chunk.length;) written += (await file.write(chunk, written)).bytesWritten;
    yield chunk;
  }
}

async function* piecesIn(path: string, pieces: SentPieces, missing: Uint32Array): AsyncGenerator<Buffer> {
  await using file = await open(path);
  yield* pieces.read(file, missing);
}

/** What is longer is no list: one byte more is enough to show it. */
async function atMost(chunks: AsyncIterable<Buffer>, max: number): Promise<Buffer> {
  const all: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    all.push(chunk);
    size += chunk.length;
    if (size > max) break;
  }
  return Buffer.concat(all);
}
