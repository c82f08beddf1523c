import { createReadStream } from "node:fs";
import { open, rm, stat, type FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { cutTar } from "../delta/cut-tar.ts";
import { encodeRecipe } from "../delta/encode-recipe.ts";
import { decodeMissingPieces, maxMissingPiecesBytes } from "../delta/missing-pieces.ts";
import { PieceIndex } from "../delta/piece-index.ts";
import { isNoSpace } from "../files/no-space.ts";
import { hexOf, type Digest } from "../image/digest.ts";
import { messageOf } from "../output/errors.ts";
import type { PacedPacker, PacedPackOptions } from "../packing/paced-packer.ts";
import type { LayerDelta, StoredBlob } from "../registry/embedded/pull/registry-content.ts";
import { NoSpaceFailure } from "../run/no-space-failure.ts";
import type { LazySpool } from "../run/spool.ts";
import { GrowingFile } from "../streams/growing-file.ts";

/** Only layers of at least this many bytes, as stored, are cut: a smaller layer costs no more than its recipe and another round trip. */
const WORTH_CUTTING = 512 * 1024;

type Plain = AsyncIterable<Buffer>;

/** The empty files into which a layer is cut. {@link LayerCutter.cut} takes ownership of them. */
export interface CutFiles {
  path: string;
  file: FileHandle;
  recipe: GrowingFile;
}

/** Cuts plain layers on the sending side (delta/). The tar and its recipe become files in the spool. */
export class LayerCutter {
  readonly #spool: LazySpool;
  readonly #packer: PacedPacker;
  readonly #name: string | undefined;

  /** @param name distinguishes the files from those of other cutters with this spool */
  constructor(spool: LazySpool, packer: PacedPacker, name?: string) {
    this.#spool = spool;
    this.#packer = packer;
    this.#name = name;
  }

  /** @param size bytes of the layer as stored */
  isWorthCutting(size: number): boolean {
    return size >= WORTH_CUTTING;
  }

  /** Opens the spool. Rejects with a `no-space` Failure if it cannot be created. */
  async openSpool(): Promise<void> {
    await this.#spool.open();
  }

  /** Creates the files for a layer. Rejects with a `no-space` Failure for any error, and leaves no file behind. */
  async createFiles(diffId: Digest): Promise<CutFiles> {
    const spool = await this.#spool.open();
    const path = spool.pathFor(hexOf(diffId) + (this.#name === undefined ? "" : `.${this.#name}.tar`));
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
   * Cuts a layer, and returns its plain tar as a blob. If `plain` or the file system fails, rejects with the error, passes it to readers of
   * the recipe, and removes the files. If the disk is full, the recipe just ends, and its file stays in the spool: the receiver sees that
   * the recipe is truncated, and fetches the layer whole.
   *
   * @param onBegun receives the recipe and the pieces before the cut: the recipe can be read while it grows
   */
  async cut(
    { path, file: handle, recipe }: CutFiles,
    plain: () => Plain | Promise<Plain>,
    onBegun: (cut: LayerDelta) => void,
  ): Promise<StoredBlob> {
    const pieces = new PieceIndex();
    try {
      await using file = handle;
      const tar = await plain();
      onBegun(this.#cutBlob(path, recipe, pieces));
      for await (const frame of encodeRecipe(cutTar(savedTo(file, tar)), { pieces })) await recipe.write(frame);
      await recipe.finish();
    } catch (error) {
      const isDiskFull = isNoSpace(error);
      await (isDiskFull ? recipe.finish() : recipe.giveUp(error as Error)).catch(() => {}); // already closed
      await rm(path, { force: true });
      // A receiver that requested the recipe may not have opened it yet. A missing file would make the whole transfer fail.
      if (!isDiskFull) await rm(recipe.path, { force: true });
      throw error;
    }
    const { size } = await stat(path);
    return {
      size,
      open: ({ first, last } = { first: 0, last: size - 1 }) => createReadStream(path, { start: first, end: last }),
      packed: (first) => ({ first, stream: this.#packed(createReadStream(path, { start: first })) }),
      packedSize: async (rate) => await this.#packer.sizeOf(createReadStream(path), size, rate),
    };
  }

  #cutBlob(path: string, recipe: GrowingFile, index: PieceIndex): LayerDelta {
    return {
      recipe: () => this.#packed(recipe.read(), { blockPerChunk: true }),
      pieces: async (list) => {
        const encoded = await readAtMost(list, maxMissingPiecesBytes(index.count));
        return this.#packed(readPieces(path, index, decodeMissingPieces(encoded, index.count)));
      },
    };
  }

  #packed(bytes: AsyncIterable<Buffer>, options?: PacedPackOptions): Readable {
    return Readable.from(this.#packer.pack(bytes, options), { objectMode: false });
  }
}

function noFiles(cause: unknown): NoSpaceFailure {
  return new NoSpaceFailure(
    { code: "no-files", error: messageOf(cause) },
    {
      expected: "room for files in that folder, and a limit that allows some more open files (`ulimit -n`)",
      hint: "Free some space, or name a folder on another disk with XDG_CACHE_HOME.",
      cause,
    },
  );
}

/** Writes bytes to a file, and yields the bytes that have been written. */
async function* savedTo(file: FileHandle, bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    for (let written = 0; written < chunk.length;) written += (await file.write(chunk, written)).bytesWritten;
    yield chunk;
  }
}

async function* readPieces(path: string, index: PieceIndex, missing: Uint32Array): AsyncGenerator<Buffer> {
  await using file = await open(path);
  yield* index.read(file, missing);
}

/** Reads up to `max` bytes, and a little more if there are more: a longer list is invalid, which its decoder detects. */
async function readAtMost(chunks: AsyncIterable<Buffer>, max: number): Promise<Buffer> {
  const all: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    all.push(chunk);
    size += chunk.length;
    if (size > max) break;
  }
  return Buffer.concat(all);
}
