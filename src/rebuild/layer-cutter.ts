import { createReadStream } from "node:fs";
import { open, rm, stat, type FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { cut } from "../delta/cut-tar.ts";
import { encodeRecipe } from "../delta/encode-recipe.ts";
import { decodeMissingPieces, maxMissingPiecesBytes } from "../delta/missing-pieces.ts";
import { PieceIndex } from "../delta/piece-index.ts";
import { isNoSpace } from "../files/no-space.ts";
import { hexOf, type Digest } from "../image/digest.ts";
import { Failure, messageOf } from "../output/errors.ts";
import type { PacedPacker, PackOptions } from "../packing/paced-packer.ts";
import type { LayerDelta, StoredBlob } from "../registry/embedded/registry-content.ts";
import type { LazySpool } from "../store/spool.ts";
import { GrowingFile } from "../streams/growing-file.ts";

/** Bytes, stored, from which on a layer is cut: the recipe of a smaller one, and a round trip more, cost as much as it does. */
const WORTH_IT = 512 * 1024;

type Plain = AsyncIterable<Buffer>;

/** The files that a layer is cut into, empty. Whoever has made them hands them to {@link LayerCutter.cut}, which owns them. */
export interface CutFiles {
  path: string;
  file: FileHandle;
  recipe: GrowingFile;
}

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

  /** Makes sure of a place for layers. Rejects with a `no-space` Failure where there can be none. */
  async makeRoom(): Promise<void> {
    await this.#spool.open();
  }

  /** Rejects with a `no-space` Failure, whatever the trouble is, and leaves no file then: nothing of the layer has been read yet. */
  async makeFiles(diffId: Digest): Promise<CutFiles> {
    const spool = await this.#spool.open();
    const path = spool.pathFor(hexOf(diffId));
    const recipePath = `${path}.recipe`;
    try {
      const recipe = await open(recipePath, "wx", 0o600);
      try {
        return { path, file: await open(path, "wx", 0o600), recipe: new GrowingFile(recipePath, recipe) };
      } catch (error) {
        await recipe.close();
        await rm(recipePath, { force: true });
        throw error;
      }
    } catch (error) {
      throw noFiles(error);
    }
  }

  /**
   * The layer as a blob, plain. `onBegun` is given its pieces, before there are any: the recipe can be read as it grows. Rejects,
   * and so does whoever reads the recipe, with what `plain` fails with, or the file system; its files are gone then. Where there is no room
   * any more, the recipe just ends, and its file stays as long as the spool: whoever reads it sees that it is not all, and takes the
   * layer whole.
   */
  async cut(
    { path, file: handle, recipe }: CutFiles,
    plain: () => Plain | Promise<Plain>,
    onBegun: (cut: LayerDelta) => void,
  ): Promise<StoredBlob> {
    const pieces = new PieceIndex();
    const packed = (bytes: AsyncIterable<Buffer>, options?: PackOptions): Readable =>
      Readable.from(this.#packer.pack(bytes, options), { objectMode: false });
    try {
      await using file = handle;
      const tar = await plain();
      onBegun({
        // As it grows, so that the receiver can begin while the layer is being cut.
        recipe: () => packed(recipe.read(), { blockPerChunk: true }),
        pieces: async (list) => {
          const missing = decodeMissingPieces(await atMost(list, maxMissingPiecesBytes(pieces.count)), pieces.count);
          return packed(piecesIn(path, pieces, missing));
        },
      });
      for await (const frame of encodeRecipe(cut(kept(tar, file)), { pieces })) await recipe.write(frame);
      await recipe.finish();
    } catch (error) {
      const justEnds = isNoSpace(error);
      await (justEnds ? recipe.finish() : recipe.giveUp(error as Error)).catch(() => {}); // closed already
      await rm(path, { force: true });
      // Who has asked for a recipe may open it only now; if it were gone, all of the transfer would fail.
      if (!justEnds) await rm(recipe.path, { force: true });
      throw error;
    }
    const { size } = await stat(path);
    return {
      size,
      open: ({ first, last } = { first: 0, last: size - 1 }) => createReadStream(path, { start: first, end: last }),
      packed: (first) => ({ first, stream: packed(createReadStream(path, { start: first })) }),
    };
  }
}

function noFiles(cause: unknown): Failure {
  return new Failure("no-space", `a layer's files cannot be made in the cache folder: ${messageOf(cause)}`, {
    expected: "room for files there, and leave to open some more (`ulimit -n`)",
    hint: "Free some, or name a folder on another disk with XDG_CACHE_HOME.",
    cause,
  });
}

/** Passes bytes on that have been written. */
async function* kept(bytes: AsyncIterable<Buffer>, file: FileHandle): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    for (let written = 0; written < chunk.length;) written += (await file.write(chunk, written)).bytesWritten;
    yield chunk;
  }
}

async function* piecesIn(path: string, pieces: PieceIndex, missing: Uint32Array): AsyncGenerator<Buffer> {
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
