import { constants } from "node:fs";
import { open, rm, type FileHandle } from "node:fs/promises";
import { concatChunks } from "../streams/coalesce.ts";

/** Bytes that are read at a time of what was there before. */
const CHUNK = 1024 * 1024;
/** Bytes that may wait to be written: they are lost when the process is killed. What is written is the kernel's, and stays. */
const WAITING = 1024 * 1024;

export interface PassOptions {
  /** Whether it is still worth it, told of each chunk's bytes. Left out: the file is what it is for, and must be whole at the end. */
  keepGoing?: (bytes: number) => boolean;
}

/** A file that a blob arrives in. It may begin with what an earlier run has received of it, of which nothing is proven. */
export class ResumableFile {
  readonly path: string;
  /** Bytes that were there before, and need not come again. */
  readonly resumedBytes: number;
  /** It is known not to be what it should be: nothing is to be continued from it. */
  isInvalid = false;
  readonly #handle: FileHandle;
  #closed: Promise<void> | undefined;

  constructor(path: string, handle: FileHandle, resumedBytes = 0) {
    this.path = path;
    this.resumedBytes = resumedBytes;
    this.#handle = handle;
  }

  /** A new one, for this user's eyes. Fails when there is anything at its path. */
  static async create(path: string): Promise<ResumableFile> {
    return new ResumableFile(path, await open(path, "wx+", 0o600));
  }

  /** One that is there, of a blob of `size` bytes. Fails for what is no file of its own: a link to another is not followed. */
  static async reopen(path: string, size: number): Promise<ResumableFile> {
    const handle = await open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const found = await handle.stat();
      if (!found.isFile() || found.nlink !== 1) throw new Error(`${path} is no file of its own`);
      await handle.chmod(0o600);
      // The last byte comes again: who sends the layer is to hear that it has been taken.
      return new ResumableFile(path, handle, Math.max(0, Math.min(found.size, size - 1)));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /**
   * The whole blob: what was there, then what comes behind that, which is written while it passes. At its end, and when it is left
   * early, all that has passed is in the file, which is closed then. Memory does not grow with it. Once.
   */
  async *pass(coming: AsyncIterable<Buffer>, { keepGoing }: PassOptions = {}): AsyncGenerator<Buffer> {
    try {
      yield* this.#there();
      yield* this.#written(coming, keepGoing);
    } finally {
      await this.close();
    }
  }

  async *#there(): AsyncGenerator<Buffer> {
    for (let at = 0; at < this.resumedBytes;) {
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK, this.resumedBytes - at));
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw new Error(`${this.path} has become shorter`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async *#written(coming: AsyncIterable<Buffer>, keepGoing: PassOptions["keepGoing"]): AsyncGenerator<Buffer> {
    const writer = new Writer(this.#handle, this.resumedBytes);
    const isOver = (bytes: number): boolean => {
      if (this.#closed !== undefined) return false; // let go of meanwhile: what still comes cannot be written, but the disk is not full
      if (writer.failure !== undefined && keepGoing === undefined) throw writer.failure.error;
      return writer.failure !== undefined || keepGoing?.(bytes) === false; // a full disk is no reason not to go on
    };
    let keeps = true;
    try {
      for await (const chunk of coming) {
        if (keeps) await writer.write(chunk);
        if (keeps && isOver(chunk.length)) {
          keeps = false;
          await writer.done();
          await this.remove();
        }
        yield chunk;
      }
    } finally {
      await writer.done();
    }
    if (keeps && isOver(0)) await this.remove();
  }

  async close(): Promise<void> {
    await (this.#closed ??= this.#handle.close().catch(() => {}));
  }

  /** Does not fail when it is gone. */
  async remove(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true }).catch(() => {});
  }
}

/** Writes to a file beside the stream: what comes while it writes is written next, in one piece. */
class Writer {
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

  /** Resolves when more may come. Never rejects: `failure` tells. */
  async write(chunk: Buffer): Promise<void> {
    this.#waiting.push(chunk);
    this.#bytes += chunk.length;
    this.#writing ??= this.#write();
    if (this.#bytes > WAITING) await this.#writing;
  }

  async done(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const bytes = concatChunks(this.#waiting.splice(0));
        this.#bytes = 0;
        for (let done = 0; done < bytes.length;) {
          done += (await this.#handle.write(bytes, done, bytes.length - done, this.#at + done)).bytesWritten;
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
