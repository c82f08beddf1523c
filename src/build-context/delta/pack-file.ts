import { hash } from "node:crypto";
import { constants } from "node:fs";
import { open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { MAX_PIECE } from "../../delta/chunker.ts";
import { isNoSpace } from "../../files/no-space.ts";
import { Failure } from "../../output/errors.ts";
import { ByteWriter } from "./byte-writer.ts";
import { DIGEST_BYTES, pieceDigest, type Piece } from "./piece.ts";

/**
 * The format of a pack:
 *
 *     pack  = MAGIC, batches
 *     batch = bytes of the table (4), check of the table (8), table, contents of its pieces one after the other
 *     table = for each piece: size (4), digest (32)
 *
 * Numbers are big-endian; the check is the beginning of the table's SHA-256. A batch is written at once, behind the last one: whatever a
 * killed run has left of one is cut off.
 */
const MAGIC = Buffer.from("dosctx 1");
const HEAD = 12;
const CHECK = 8;
const ROW = 4 + DIGEST_BYTES;
/** Bytes of a table at most: a batch has at most a megabyte of pieces, which are rarely smaller than 100 bytes. */
const MAX_TABLE = 16 * 1024 * 1024;
/** Bytes of contents in a batch of a rewritten pack. */
const BATCH = 1024 * 1024;
/** Bytes read for a head and its table: enough for most, whose files have 4 kB and more. */
const FIRST_READ = 16 * 1024;

/** A piece with its content. */
export interface FilledPiece {
  digest: string;
  content: Uint8Array;
}

/** Thrown for a piece that is not in the pack as it was written: the disk or another program has changed it. */
export class DamagedPack extends Error {
  override readonly name = "DamagedPack";
}

/**
 * A file of pieces that is only appended to. Only one run may append to a pack at a time. What has been written can be read as long as the
 * pack is open here, even after another run has replaced or removed the file.
 */
export class PackFile implements AsyncDisposable {
  readonly path: string;
  #file: FileHandle;
  #end = MAGIC.length;
  readonly #places = new Map<string, { at: number; size: number }>();

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /** Opens a pack for reading and appending, and cuts off what a killed run has left at its end. Makes an empty one if there is none. */
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
    return this.#places.size === 0;
  }

  /** Bytes */
  get size(): number {
    return this.#end;
  }

  /** Returns the size of a piece in bytes; undefined for one that is not there. */
  sizeOf(digest: string): number | undefined {
    return this.#places.get(digest)?.size;
  }

  /** Appends pieces that are not there. One call at a time. Throws a `no-space` Failure. */
  async append(pieces: readonly FilledPiece[]): Promise<void> {
    if (pieces.length === 0) return;
    const table = encodeTable(pieces);
    const bytes = Buffer.concat([table, ...pieces.map(({ content }) => content)]);
    try {
      for (let done = 0; done < bytes.length;) {
        done += (await this.#file.write(bytes, done, bytes.length - done, this.#end + done)).bytesWritten;
      }
    } catch (error) {
      await this.#file.truncate(this.#end).catch(() => {});
      throw outOfSpace(error);
    }
    let at = this.#end + table.length;
    for (const { digest, content } of pieces) {
      this.#places.set(digest, { at, size: content.length });
      at += content.length;
    }
    this.#end = at;
  }

  /** Reads a piece, and verifies it. Throws {@link DamagedPack}. */
  async read({ digest, size }: Piece): Promise<Buffer> {
    const place = this.#places.get(digest);
    if (place?.size !== size) throw new DamagedPack(`${this.path} has lost a piece`);
    const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(size), 0, size, place.at);
    if (bytesRead < size || pieceDigest(buffer) !== digest)
      throw new DamagedPack(`a piece of ${this.path} has changed`);
    return buffer;
  }

  /**
   * Replaces the pack by one with these pieces alone, in their order. The pack is then the new one. The old file stays as it is for those who
   * have it open.
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
    this.#places.clear();
    for (const [digest, place] of fresh.#places) this.#places.set(digest, place);
  }

  /** Removes the file, unless another one has taken its place. */
  async remove(): Promise<void> {
    const [own, there] = [await this.#file.stat(), await stat(this.path).catch(() => undefined)];
    if (there?.ino === own.ino) await rm(this.path, { force: true });
  }

  /** Marks the pack as used now. */
  async touch(): Promise<void> {
    const now = new Date();
    await this.#file.utimes(now, now).catch(() => {}); // at worst, it is removed earlier
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  /** Reads the tables of all batches, and cuts off what follows the last whole one. */
  async #readTables(): Promise<void> {
    const { size } = await this.#file.stat();
    const window = Buffer.alloc(FIRST_READ);
    const magic = await this.#file.read(window, 0, MAGIC.length, 0);
    if (magic.bytesRead < MAGIC.length || !window.subarray(0, MAGIC.length).equals(MAGIC)) {
      await this.#file.truncate(0);
      await this.#file.write(MAGIC, 0, MAGIC.length, 0);
      return;
    }
    while (this.#end < size) {
      const { bytesRead } = await this.#file.read(window, 0, window.length, this.#end);
      const length = bytesRead < HEAD ? 0 : window.readUInt32BE(0);
      if (length === 0 || length % ROW !== 0 || length > MAX_TABLE || length > size - this.#end - HEAD) break;
      let table = window.subarray(HEAD, HEAD + length);
      if (HEAD + length > bytesRead) {
        table = Buffer.alloc(length);
        await this.#file.read(table, 0, length, this.#end + HEAD);
      }
      if (!checkOf(table).equals(window.subarray(HEAD - CHECK, HEAD))) break;
      if (!this.#addRows(table, size)) break;
    }
    if (this.#end < size) await this.#file.truncate(this.#end);
  }

  /** Adds the pieces of a batch; returns false if it is not whole. */
  #addRows(table: Buffer, size: number): boolean {
    const start = this.#end + HEAD + table.length;
    const rows: { digest: string; at: number; size: number }[] = [];
    let at = start;
    for (let row = 0; row < table.length; row += ROW) {
      const bytes = table.readUInt32BE(row);
      if (bytes === 0 || bytes > MAX_PIECE) return false;
      rows.push({ digest: table.toString("latin1", row + 4, row + ROW), at, size: bytes });
      at += bytes;
    }
    if (at > size) return false;
    for (const { digest, ...place } of rows) this.#places.set(digest, place);
    this.#end = at;
    return true;
  }
}

/** Returns a batch's head and table. */
function encodeTable(pieces: readonly FilledPiece[]): Buffer {
  const rows = new ByteWriter();
  const size = Buffer.alloc(4);
  for (const { digest, content } of pieces) {
    size.writeUInt32BE(content.length);
    rows.bytes(size);
    rows.text(digest);
  }
  const table = rows.take();
  const length = Buffer.alloc(HEAD - CHECK);
  length.writeUInt32BE(table.length);
  return Buffer.concat([length, checkOf(table), table]);
}

function checkOf(table: Uint8Array): Buffer {
  return hash("sha256", table, "buffer").subarray(0, CHECK);
}

function outOfSpace(error: unknown): unknown {
  if (!isNoSpace(error)) return error;
  return new Failure("no-space", "the disk of the cache folder is full: the context of the build does not fit", {
    expected: "room for the context in the cache folder of the side that builds",
    hint: "Free some (`docker-over-ssh prune` there), or name a folder on a larger disk with XDG_CACHE_HOME.",
    cause: error,
  });
}
