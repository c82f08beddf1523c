import { abortable } from "./abortable.ts";
import { deferred } from "./deferred.ts";
import type { GrowingFile } from "./growing-file.ts";
import { resolveWithin } from "./resolve-within.ts";

/** The maximum number of bytes that the writer is ahead of the fastest reader. */
const AHEAD = 4 * 1024 * 1024;
/** ms without progress of any reader after which the writer continues, so that a stalled reader does not delay others. */
const STALLED = 5_000;

/**
 * A growing file with several readers, each at its own pace. The writer keeps pace with the fastest reader, so that packing knows how much
 * time the link leaves. The other readers read the rest from the file.
 */
export class FollowedFile {
  readonly #file: GrowingFile;
  readonly #readers = new Set<{ at: number }>();
  #written = 0;
  #moved = deferred<void>();

  constructor(file: GrowingFile) {
    this.#file = file;
  }

  /**
   * Appends the chunks as fast as the fastest reader reads them. Rejects with the errors of the chunks and of the file, which readers get
   * as well.
   */
  async writeAll(chunks: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
    try {
      for await (const chunk of chunks) {
        await this.#file.write(chunk);
        this.#written += chunk.length;
        await this.#untilFollowed(signal);
      }
      await this.#file.finish();
    } catch (error) {
      await this.#file.giveUp(error as Error);
      throw error;
    }
  }

  /** Yields the bytes from the file's start. Throws the error of {@link writeAll}. */
  async *read(): AsyncGenerator<Buffer> {
    const reader = { at: 0 };
    this.#readers.add(reader);
    try {
      this.#wake();
      for await (const chunk of this.#file.read()) {
        yield chunk;
        reader.at += chunk.length;
        this.#wake();
      }
    } finally {
      this.#readers.delete(reader);
    }
  }

  async #untilFollowed(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const { promise } = this.#moved;
      const fastest = Math.max(...[...this.#readers].map(({ at }) => at));
      if (this.#written - fastest <= AHEAD) return;
      const moved = abortable(promise, signal).then(() => true);
      // Without a reader, nothing waits for the file.
      if (this.#readers.size === 0) await moved;
      else if ((await resolveWithin(STALLED, moved)) === undefined) return;
    }
  }

  #wake(): void {
    this.#moved.resolve();
    this.#moved = deferred();
  }
}
