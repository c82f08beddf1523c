import { open, type FileHandle } from "node:fs/promises";
import type { BuildContext, ContextEntry, ContextFile } from "../build-context.ts";
import { CONTEXT_LIMITS, type ContextLimits } from "../limits.ts";
import { changedFile } from "../read-ahead.ts";
import { tarRecords } from "./tar-records.ts";
import { TarTree } from "./tar-tree.ts";

/** Bytes read at a time. */
const CHUNK = 256 * 1024;

export interface OpenTarOptions {
  /** The number of names to remove from the beginning of each path, like tar's --strip-components. Default: 0 */
  strip?: number | undefined;
  limits?: ContextLimits | undefined;
  /** Refuses absolute paths, and symbolic links that lead out of the context. Default: false, because only the container follows them. */
  refuseLinksOut?: boolean | undefined;
  /** Refuses a second file of the same path. Default: false: the last one counts, as for tar and Docker. */
  refuseDuplicates?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Opens an uncompressed tar as a build context. The file must not change until the context is disposed of. It may be unlinked. Reads the
 * headers at once, and contents on request.
 *
 * Throws a `context-invalid` Failure for an entry that leads out or is neither file, folder nor link, for a tar that exceeds the limits,
 * and for a truncated or damaged one. The failure names the entry. Throws the signal's reason, and the file system's errors.
 */
export async function openTarContext(path: string, options: OpenTarOptions = {}): Promise<BuildContext> {
  const { strip = 0, limits = CONTEXT_LIMITS, refuseLinksOut, refuseDuplicates = false, signal } = options;
  const file = await open(path, "r");
  try {
    const tree = new TarTree({ limits, strip, lastWins: !refuseDuplicates, takesAbsolute: refuseLinksOut !== true });
    for await (const record of tarRecords(file)) {
      signal?.throwIfAborted();
      tree.add(record);
    }
    if (refuseLinksOut === true) tree.refuseLinksOut();
    return new TarContext(file, tree.entries());
  } catch (error) {
    await file.close();
    throw error;
  }
}

class TarContext implements BuildContext {
  readonly entries: readonly ContextEntry[];
  readonly #file: FileHandle;
  readonly #offsets: ReadonlyMap<string, number>;

  constructor(file: FileHandle, { entries, offsets }: ReturnType<TarTree["entries"]>) {
    this.#file = file;
    this.entries = entries;
    this.#offsets = offsets;
  }

  async *read({ path, size }: ContextFile, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const offset = this.#offsets.get(path);
    if (offset === undefined) throw new TypeError(`${path} is not a file of this context`);
    for (let done = 0; done < size;) {
      signal?.throwIfAborted();
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK, size - done));
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, offset + done);
      if (bytesRead === 0) throw changedFile(path);
      done += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
