import type { Engine, ImageFiles } from "../engine/engine.ts";
import { RUN_LABEL, type RunId } from "../engine/run-id.ts";
import { familiarName, type Reference } from "../image/reference.ts";
import type { Relative } from "../store/chains.ts";

/** What is here already, in whose files pieces of the missing layers may be found. */
export interface Seeds extends AsyncDisposable {
  /**
   * Tars of what is in these folders, and maybe more, the likeliest first. Each is read to its end, or left. One that cannot be
   * read fails with whatever its store fails with.
   */
  tars(folders: readonly string[]): AsyncGenerator<AsyncIterable<Buffer>>;
}

export interface SeedOptions {
  image: Reference;
  /** Images that share layers with the one that is coming, those that share most first. */
  relatives: readonly Relative[];
  run: RunId;
  signal: AbortSignal;
}

/**
 * The images of an engine that are most like the one that is coming: the youngest of the same repository, which a rebuild is
 * mostly of, and the one that shares most layers with it. Undefined when there is neither.
 */
export async function findSeeds(
  engine: Engine,
  { image, relatives, run, signal }: SeedOptions,
): Promise<Seeds | undefined> {
  const sameName = await engine.newestOf(familiarName(image));
  const ids = new Set([sameName, relatives[0]?.id].filter((id) => id !== undefined));
  return ids.size === 0 ? undefined : new EngineSeeds(engine, [...ids], run, signal);
}

class EngineSeeds implements Seeds {
  readonly #engine: Engine;
  readonly #ids: readonly string[];
  readonly #run: RunId;
  readonly #signal: AbortSignal;
  readonly #opened = new Map<string, Promise<ImageFiles>>();

  constructor(engine: Engine, ids: readonly string[], run: RunId, signal: AbortSignal) {
    this.#engine = engine;
    this.#ids = ids;
    this.#run = run;
    this.#signal = signal;
  }

  async *tars(folders: readonly string[]): AsyncGenerator<AsyncIterable<Buffer>> {
    for (const id of this.#ids) {
      const files = await this.#open(id);
      for (const folder of folders) {
        const tar = await files.read(folder);
        if (tar !== undefined) yield tar;
      }
    }
  }

  async #open(id: string): Promise<ImageFiles> {
    const open = async () => await this.#engine.openFiles(id, { [RUN_LABEL]: this.#run }, this.#signal);
    const opened = this.#opened.get(id) ?? open();
    this.#opened.set(id, opened);
    opened.catch(() => {}); // awaited here, and at the end
    return await opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#opened.values()) {
      const files = await opened.catch(() => undefined);
      await files?.[Symbol.asyncDispose]();
    }
  }
}
