import type { Engine, ImageFiles } from "../engine/engine.ts";
import { RUN_LABEL, type RunId } from "../engine/run-id.ts";
import { familiarName, type Reference } from "../image/reference.ts";
import type { Relative } from "../store/chains.ts";

/** What is here already, in whose files pieces of the missing layers may be found. */
export interface Seeds extends AsyncDisposable {
  /** The likeliest first. */
  images: readonly SeedImage[];
}

export interface SeedImage {
  /**
   * Tars of what is in these folders, one for each that is there; or of all that it has, where there is no other way (`covers` is
   * "/" then). Each is read to its end, or left. What cannot be read fails with whatever its store fails with.
   */
  tars(folders: readonly string[]): AsyncGenerator<{ covers: string; tar: AsyncIterable<Buffer> }>;
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
  if (ids.size === 0) return undefined;
  const images = [...ids].map((id) => new EngineImage(engine, id, run, signal));
  return {
    images,
    async [Symbol.asyncDispose]() {
      for (const image of images) await image.close();
    },
  };
}

class EngineImage implements SeedImage {
  readonly #open: () => Promise<ImageFiles>;
  #opened: Promise<ImageFiles> | undefined;

  constructor(engine: Engine, id: string, run: RunId, signal: AbortSignal) {
    this.#open = async () => await engine.openFiles(id, { [RUN_LABEL]: run }, signal);
  }

  async *tars(folders: readonly string[]): AsyncGenerator<{ covers: string; tar: AsyncIterable<Buffer> }> {
    this.#opened ??= this.#open();
    const files = await this.#opened;
    for (const folder of folders) {
      const tar = await files.read(folder);
      if (tar !== undefined) yield { covers: folder, tar };
    }
  }

  async close(): Promise<void> {
    const files = await this.#opened?.catch(() => undefined);
    await files?.[Symbol.asyncDispose]();
  }
}
