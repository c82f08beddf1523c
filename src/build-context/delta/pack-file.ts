import { constants } from "node:fs";
import { open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { isNoSpace } from "../../files/no-space.ts";
import { Failure } from "../../output/errors.ts";
import { beginsWithMagic, encodeBatchHead, MAGIC, readBatch } from "./pack-format.ts";
import { pieceDigest, type FilledPiece, type Piece } from "./piece.ts";

/** Bytes of contents in each batch of a rewritten pack. */
const BATCH = 1024 * 1024;

/** Thrown for a piece that is missing from the pack or has changed since it was written, because of the disk or another program. */
export class DamagedPack extends Error {
  override readonly name = "DamagedPack";
}

/**
 * An append-only file of pieces. Only one run may append to a pack at a time. Pieces remain readable as long as this process has the pack
 * open, even after another run has replaced or removed the file.
 */
export class PackFile implements AsyncDisposable {
  readonly path: string;
  #file: FileHandle;
  #end = MAGIC.length;
  readonly #pieces = new Map<string, { at: number; size: number }>();

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /**
   * Opens a pack for reading and appending, and truncates an incomplete batch of a killed run at its end. Creates an empty pack if there is
   * none.
   */
  static async open(path: string): Promise<PackFile> {
    const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
    const file = await open(path, O_RDWR | O_CREAT | (O_NOFOLLOW ?? 0), 0o600);
    const pack = new PackFile(path, file);
    try {
      await pack.#readTables();
      return pack;
    } catch (error) {
      await file.close();
      throw outOfSpace(error);
    }
  }

  get isEmpty(): boolean {
    return this.#pieces.size === 0;
  }

  /** Bytes */
  get size(): number {
    return this.#end;
  }

  /** Returns the size of a piece in bytes; undefined for a missing piece. */
  sizeOf(digest: string): number | undefined {
    return this.#pieces.get(digest)?.size;
  }

  /** Appends pieces that the pack does not have yet. Calls must not overlap. Throws a `no-space` Failure. */
  async append(pieces: readonly FilledPiece[]): Promise<void> {
    if (pieces.length === 0) return;
    const head = encodeBatchHead(pieces);
    const bytes = Buffer.concat([head, ...pieces.map(({ content }) => content)]);
    try {
      for (let done = 0; done < bytes.length;) {
        done += (await this.#file.write(bytes, done, bytes.length - done, this.#end + done)).bytesWritten;
      }
    } catch (error) {
      await this.#file.truncate(this.#end).catch(() => {});
      throw outOfSpace(error);
    }
    let at = this.#end + head.length;
    for (const { digest, content } of pieces) {
      this.#pieces.set(digest, { at, size: content.length });
      at += content.length;
    }
    this.#end = at;
  }

  /** Reads a piece, and verifies it. Throws {@link DamagedPack}. */
  async read({ digest, size }: Piece): Promise<Buffer> {
    const found = this.#pieces.get(digest);
    if (found?.size !== size) throw new DamagedPack(`${this.path} has lost a piece`);
    const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(size), 0, size, found.at);
    if (bytesRead < size || pieceDigest(buffer) !== digest)
      throw new DamagedPack(`a piece of ${this.path} has changed`);
    return buffer;
  }

  /**
   * Replaces the file by one that contains only these pieces, in this order, and continues with the new file. Runs that have the old file
   * open can still read it.
   */
  async rewrite(pieces: Iterable<Piece>, partPath: string): Promise<void> {
    await rm(partPath, { force: true });
    const fresh = await PackFile.open(partPath);
    try {
      let batch: FilledPiece[] = [];
      let bytes = 0;
      for (const piece of pieces) {
        batch.push({ digest: piece.digest, content: await this.read(piece) });
        bytes += piece.size;
        if (bytes < BATCH) continue;
        await fresh.append(batch);
        batch = [];
        bytes = 0;
      }
      await fresh.append(batch);
      await rename(partPath, this.path);
    } catch (error) {
      await fresh[Symbol.asyncDispose]();
      await rm(partPath, { force: true });
      throw error;
    }
    await this.#file.close();
    this.#file = fresh.#file;
    this.#end = fresh.#end;
    this.#pieces.clear();
    for (const [digest, found] of fresh.#pieces) this.#pieces.set(digest, found);
  }

  /** Removes the file, unless another file has replaced it. */
  async remove(): Promise<void> {
    const [own, current] = [await this.#file.stat(), await stat(this.path).catch(() => undefined)];
    if (current?.ino === own.ino) await rm(this.path, { force: true });
  }

  /** Marks the pack as used now. */
  async touch(): Promise<void> {
    const now = new Date();
    await this.#file.utimes(now, now).catch(() => {}); // at worst, the pack is removed earlier
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  /** Reads the tables of all batches, and truncates the file after the last complete batch. */
  async #readTables(): Promise<void> {
    const { size } = await this.#file.stat();
    if (!(await beginsWithMagic(this.#file))) {
      await this.#file.truncate(0);
      await this.#file.write(MAGIC, 0, MAGIC.length, 0);
      return;
    }
    for (;;) {
      const batch = await readBatch(this.#file, this.#end, size);
      if (batch === undefined) break;
      for (const { digest, ...found } of batch.pieces) this.#pieces.set(digest, found);
      this.#end = batch.end;
    }
    if (this.#end < size) await this.#file.truncate(this.#end);
  }
}

function outOfSpace(error: unknown): unknown {
  if (!isNoSpace(error)) return error;
  return new Failure("no-space", "the disk of the cache folder is full: the context of the build does not fit", {
    expected: "room for the context in the cache folder of the side that builds",
    hint: "Free some space (`docker-over-ssh prune` on that side), or name a folder on a larger disk with XDG_CACHE_HOME.",
    cause: error,
  });
}
