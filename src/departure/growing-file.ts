import { open, type FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { deferred } from "../streams/deferred.ts";

/** Bytes that are read at a time. */
const CHUNK = 256 * 1024;

/** A file that is read while it is still being written: a reader waits at its end until there is more, or no more will come. */
export class GrowingFile implements AsyncDisposable {
  readonly #file: FileHandle;
  #size = 0;
  #furthest = 0;
  #state: "growing" | "whole" | { failed: unknown } = "growing";
  #changed = deferred<void>();

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** A new file that only this user can read. */
  static async create(path: string): Promise<GrowingFile> {
    return new GrowingFile(await open(path, "wx+", 0o600));
  }

  /** Bytes that are written. */
  get size(): number {
    return this.#size;
  }

  /** Bytes that are written and that nobody has read yet. */
  get unread(): number {
    return this.#size - this.#furthest;
  }

  /** Writes all of it. When that fails, so do the readers; the error is thrown here too. */
  async writeAll(source: AsyncIterable<Buffer>): Promise<void> {
    try {
      for await (const chunk of source) {
        for (let written = 0; written < chunk.length;) {
          const { bytesWritten } = await this.#file.write(chunk, written, chunk.length - written, this.#size + written);
          written += bytesWritten;
        }
        this.#size += chunk.length;
        this.#wake();
      }
      this.#state = "whole";
    } catch (error) {
      this.#state = { failed: error };
      throw error;
    } finally {
      this.#wake();
    }
  }

  /** Its bytes from the start, until it is whole. Any number of readers may read it. */
  read(): Readable {
    return Readable.from(this.#follow(), { objectMode: false });
  }

  async *#follow(): AsyncGenerator<Buffer> {
    for (let at = 0; ;) {
      const { promise } = this.#changed;
      const state = this.#state;
      if (typeof state === "object") throw state.failed;
      if (at < this.#size) {
        const buffer = Buffer.allocUnsafe(Math.min(CHUNK, this.#size - at));
        const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, at);
        at += bytesRead;
        this.#furthest = Math.max(this.#furthest, at);
        yield buffer.subarray(0, bytesRead);
      } else if (state === "whole") return;
      else await promise;
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = deferred();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === "growing") this.#state = { failed: new Error("it is not being sent any more") };
    this.#wake();
    await this.#file.close();
  }
}
