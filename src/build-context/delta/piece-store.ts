import { constants } from "node:fs";
import { open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { isNoSpace } from "../../files/no-space.ts";
import { Failure } from "../../output/errors.ts";
import { beginsWithMagic, encodeSegmentHead, MAGIC, readSegment } from "./piece-store-format.ts";
import { pieceDigest, type FilledPiece, type Piece } from "./piece.ts";

/** A segment of a rewritten piece store ends when its contents have this many bytes. */
const MAX_SEGMENT = 1024 * 1024;

/** Thrown for a piece that is missing from its store or has changed since it was written, because of the disk or another program. */
export class DamagedPieceStore extends Error {
  override readonly name = "DamagedPieceStore";
}

/**
 * An append-only file of pieces. Only one run may append to it at a time. Pieces remain readable as long as this process has the file open,
 * even after another run has replaced or removed it.
 */
export class PieceStore implements AsyncDisposable {
  readonly path: string;
  #file: FileHandle;
  #end = MAGIC.length;
  readonly #pieces = new Map<string, { at: number; size: number }>();

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /**
   * Opens a piece store for reading and appending, and truncates an incomplete segment of a killed run at its end. Creates an empty one if
   * there is none.
   */
  static async open(path: string): Promise<PieceStore> {
    const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
    const file = await open(path, O_RDWR | O_CREAT | (O_NOFOLLOW ?? 0), 0o600);
    const store = new PieceStore(path, file);
    try {
      await store.#readTables();
      return store;
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

  /** Appends pieces that the store does not have yet. Calls must not overlap. Throws a `no-space` Failure. */
  async append(pieces: readonly FilledPiece[]): Promise<void> {
    if (pieces.length === 0) return;
    const head = encodeSegmentHead(pieces);
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

  /** Reads a piece, and verifies it. Throws {@link DamagedPieceStore}. */
  async read({ digest, size }: Piece): Promise<Buffer> {
    const found = this.#pieces.get(digest);
    if (found?.size !== size) throw new DamagedPieceStore(`${this.path} has lost a piece`);
    const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(size), 0, size, found.at);
    if (bytesRead < size || pieceDigest(buffer) !== digest)
      throw new DamagedPieceStore(`a piece of ${this.path} has changed`);
    return buffer;
  }

  /**
   * Replaces the file by one that contains only these pieces, in this order, and continues with the new file. Runs that have the old file
   * open can still read it.
   */
  async rewrite(pieces: Iterable<Piece>, partPath: string): Promise<void> {
    await rm(partPath, { force: true });
    const fresh = await PieceStore.open(partPath);
    try {
      let segment: FilledPiece[] = [];
      let bytes = 0;
      for (const piece of pieces) {
        segment.push({ digest: piece.digest, content: await this.read(piece) });
        bytes += piece.size;
        if (bytes < MAX_SEGMENT) continue;
        await fresh.append(segment);
        segment = [];
        bytes = 0;
      }
      await fresh.append(segment);
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

  /** Marks the store as used now. */
  async touch(): Promise<void> {
    const now = new Date();
    await this.#file.utimes(now, now).catch(() => {}); // at worst, the store is removed earlier
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  /** Reads the tables of all segments, and truncates the file after the last complete segment. */
  async #readTables(): Promise<void> {
    const { size } = await this.#file.stat();
    if (!(await beginsWithMagic(this.#file))) {
      await this.#file.truncate(0);
      await this.#file.write(MAGIC, 0, MAGIC.length, 0);
      return;
    }
    for (;;) {
      const segment = await readSegment(this.#file, this.#end, size);
      if (segment === undefined) break;
      for (const { digest, ...found } of segment.pieces) this.#pieces.set(digest, found);
      this.#end = segment.end;
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
