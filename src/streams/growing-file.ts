import { open, type FileHandle } from "node:fs/promises";
import { deferred } from "./deferred.ts";

/** Bytes read at a time. */
const CHUNK = 256 * 1024;

/** A file that is read while it is written: readers wait for more data. Owns the handle until the file is complete. */
export class GrowingFile {
  readonly path: string;
  readonly #handle: FileHandle;
  #written = 0;
  #end: "none" | "whole" | { error: Error } = "none";
  #changed = deferred<void>();

  /** @param handle open for writing, on a new file at `path` */
  constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  /** Appends a chunk. Allows one call at a time. Rejects with the file system's errors. */
  async write(chunk: Buffer): Promise<void> {
    for (let done = 0; done < chunk.length;) done += (await this.#handle.write(chunk, done)).bytesWritten;
    this.#written += chunk.length;
    this.#wake();
  }

  /** Yields the bytes from `first` to `last`, both inclusive, or to the file's end. Throws the error of {@link giveUp}. */
  async *read(first = 0, last = Infinity): AsyncGenerator<Buffer> {
    this.#refuseGivenUp();
    await using file = await open(this.path, "r");
    for (let at = first; at <= last;) {
      const { promise } = this.#changed;
      const [ended, end] = [this.#end, Math.min(this.#written, last + 1)];
      this.#refuseGivenUp();
      if (at < end) {
        const buffer = Buffer.allocUnsafe(Math.min(CHUNK, end - at));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      } else if (ended === "whole") return;
      else await promise;
    }
  }

  /** Ends the file: it is complete. */
  async finish(): Promise<void> {
    await this.#handle.close();
    this.#wake("whole");
  }

  /** Ends the file with an error, which its readers get. Leaves the file on disk. */
  async giveUp(error: Error): Promise<void> {
    this.#wake({ error });
    await this.#handle.close().catch(() => {}); // already closed
  }

  #refuseGivenUp(): void {
    if (typeof this.#end === "object") throw this.#end.error;
  }

  #wake(end = this.#end): void {
    this.#end = end;
    this.#changed.resolve();
    this.#changed = deferred();
  }
}
