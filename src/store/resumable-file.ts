import { constants } from "node:fs";
import { open, rm, type FileHandle } from "node:fs/promises";
import { concatChunks } from "../streams/coalesce.ts";

/** Bytes of one read of the resumed part. */
const CHUNK = 1024 * 1024;
/** The maximum number of bytes that wait to be written. They are lost if the process is killed; bytes passed to the kernel are not. */
const MAX_WAITING = 1024 * 1024;

export interface PassOptions {
  /**
   * Receives the size of each chunk in bytes, and returns whether to continue writing. If defined, the file only serves the next run, and
   * may be incomplete. Default: the file must be complete at the end.
   */
  keepGoing?: (bytes: number) => boolean;
}

/** A file that receives a blob. It may begin with unverified bytes that an earlier run has received. */
export class ResumableFile {
  readonly path: string;
  /** Bytes from an earlier run, which need not be sent again. */
  readonly resumedBytes: number;
  /** Set when its content has failed verification. The file must not be resumed. */
  isInvalid = false;
  readonly #handle: FileHandle;
  #closed: Promise<void> | undefined;

  constructor(path: string, handle: FileHandle, resumedBytes = 0) {
    this.path = path;
    this.resumedBytes = resumedBytes;
    this.#handle = handle;
  }

  /** Creates a file that only this user can read. Fails if the path exists. */
  static async create(path: string): Promise<ResumableFile> {
    return new ResumableFile(path, await open(path, "wx+", 0o600));
  }

  /** Opens the file of a blob of `size` bytes. Fails for anything but a regular file with one link. Follows no symbolic links. */
  static async reopen(path: string, size: number): Promise<ResumableFile> {
    const handle = await open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const found = await handle.stat();
      if (!found.isFile() || found.nlink !== 1) throw new Error(`${path} is not a file of its own`);
      await handle.chmod(0o600);
      // The last byte is fetched again, which shows the sender that the layer is used.
      return new ResumableFile(path, handle, Math.max(0, Math.min(found.size, size - 1)));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /**
   * Yields the whole blob: the resumed bytes, then `incoming`, which it also writes to the file. Closes the file at the end, and when the
   * iterator is closed early. The file then contains all bytes that were yielded. Memory does not grow with the blob. Call it once.
   */
  async *pass(incoming: AsyncIterable<Buffer>, { keepGoing }: PassOptions = {}): AsyncGenerator<Buffer> {
    try {
      yield* this.#resumed();
      yield* this.#written(incoming, keepGoing);
    } finally {
      await this.close();
    }
  }

  async *#resumed(): AsyncGenerator<Buffer> {
    for (let at = 0; at < this.resumedBytes;) {
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK, this.resumedBytes - at));
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw new Error(`${this.path} became shorter`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async *#written(incoming: AsyncIterable<Buffer>, keepGoing: PassOptions["keepGoing"]): AsyncGenerator<Buffer> {
    const writer = new BackgroundWriter(this.#handle, this.resumedBytes);
    const mustRemove = (bytes: number): boolean => {
      if (this.#closed !== undefined) return false; // closed in the meantime: further writes fail, but the disk is not full
      if (writer.failure !== undefined && keepGoing === undefined) throw writer.failure.error;
      return writer.failure !== undefined || keepGoing?.(bytes) === false; // the transfer continues without the file
    };
    let isWriting = true;
    try {
      for await (const chunk of incoming) {
        if (isWriting) await writer.write(chunk);
        if (isWriting && mustRemove(chunk.length)) {
          isWriting = false;
          await writer.done();
          await this.remove();
        }
        yield chunk;
      }
    } finally {
      await writer.done();
    }
    if (isWriting && mustRemove(0)) await this.remove();
  }

  async close(): Promise<void> {
    await (this.#closed ??= this.#handle.close().catch(() => {}));
  }

  /** Closes and removes the file. Never rejects. */
  async remove(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true }).catch(() => {});
  }
}

/** Writes to a file without delaying the stream. Chunks that arrive during a write are joined for the next write. */
class BackgroundWriter {
  failure: { error: unknown } | undefined;
  readonly #handle: FileHandle;
  #at: number;
  #waiting: Buffer[] = [];
  #bytes = 0;
  #writing: Promise<void> | undefined;

  constructor(handle: FileHandle, at: number) {
    this.#handle = handle;
    this.#at = at;
  }

  /** Resolves when more can be accepted. Never rejects: sets `failure`. */
  async write(chunk: Buffer): Promise<void> {
    this.#waiting.push(chunk);
    this.#bytes += chunk.length;
    this.#writing ??= this.#write();
    if (this.#bytes > MAX_WAITING) await this.#writing;
  }

  async done(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const bytes = concatChunks(this.#waiting.splice(0));
        this.#bytes = 0;
        for (let written = 0; written < bytes.length;) {
          const { bytesWritten } = await this.#handle.write(bytes, written, bytes.length - written, this.#at + written);
          written += bytesWritten;
        }
        this.#at += bytes.length;
      }
    } catch (error) {
      this.failure ??= { error };
    } finally {
      this.#writing = undefined;
    }
  }
}
