import type { BuildContext, ContextFile } from "../build-context.ts";
import { damagedContext } from "./damaged-context.ts";
import type { ListedEntry } from "./listing.ts";
import type { PieceStore } from "./piece-store.ts";

/** A context whose contents are in a piece store, which it owns. Remains readable while other runs replace or remove the file. */
export class ReceivedContext implements BuildContext {
  readonly entries: readonly ListedEntry[];
  readonly #store: PieceStore;

  constructor(entries: readonly ListedEntry[], store: PieceStore) {
    this.entries = entries;
    this.#store = store;
  }

  /** Yields the pieces of a file, and verifies each first. Throws a `not-verified` Failure for a damaged piece store, and removes it. */
  async *read(file: ContextFile, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    if (!("pieces" in file)) throw new TypeError(`${file.path} is not an entry of this context`);
    const { pieces } = file as Extract<ListedEntry, { kind: "file" }>;
    try {
      for (const piece of pieces) {
        signal?.throwIfAborted();
        yield await this.#store.read(piece);
      }
    } catch (error) {
      throw await damagedContext(this.#store, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }
}
