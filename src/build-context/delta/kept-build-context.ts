import type { BuildContext, ContextFile } from "../build-context.ts";
import { damagedContext } from "./damaged-context.ts";
import type { ListedEntry } from "./listing.ts";
import type { PackFile } from "./pack-file.ts";

/** A context whose contents are in a pack. Owns the pack. Remains readable while other runs replace or remove the file. */
export class KeptBuildContext implements BuildContext {
  readonly entries: readonly ListedEntry[];
  readonly #pack: PackFile;

  constructor(entries: readonly ListedEntry[], pack: PackFile) {
    this.entries = entries;
    this.#pack = pack;
  }

  /** Yields the pieces of a file, and verifies each first. Throws a `not-verified` Failure for a damaged pack, and removes the pack. */
  async *read(file: ContextFile, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    if (!("pieces" in file)) throw new TypeError(`${file.path} is not an entry of this context`);
    const { pieces } = file as Extract<ListedEntry, { kind: "file" }>;
    try {
      for (const piece of pieces) {
        signal?.throwIfAborted();
        yield await this.#pack.read(piece);
      }
    } catch (error) {
      throw await damagedContext(this.#pack, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pack[Symbol.asyncDispose]();
  }
}
