import type { EngineImages } from "../engine/engine-images.ts";
import type { EngineContainers, ImageFiles } from "../engine/engine-containers.ts";
import { RUN_LABEL, type RunId } from "../run/run-id.ts";
import type { Digest } from "../image/digest.ts";
import type { RelatedImage } from "../store/related-images.ts";
import type { ContainerdBlobs } from "../store/containerd-blobs.ts";
import { memoize } from "../streams/memoize.ts";
import { findBaseLayer } from "./find-base-layer.ts";

/** What a tar covers that is one of an image's layers, whatever folders it has. */
export const WHOLE_LAYER = "/";

/** What is here already, in whose files pieces of the missing layers may be found. */
export interface DeltaBases extends AsyncDisposable {
  /** The likeliest first. */
  images: readonly DeltaBaseImage[];
  /** Their layers as blobs, or their files out of a container's archive, which is slower. */
  reads: "blobs" | "files";
}

export interface DeltaBaseImage {
  /**
   * The plain tar of that layer of it which a coming one was most likely made after, where its store gives layers as they are;
   * undefined where it does not, or there is none. Read to its end, or left.
   */
  layerLike(diffId: Digest): Promise<AsyncIterable<Buffer> | undefined>;
  /**
   * Tars of what is in these folders, one for each that is there; where there is no other way, of each of its layers (`covers` is
   * {@link WHOLE_LAYER} then). Each is read to its end, or left. What cannot be read fails with whatever its store fails with.
   */
  tars(folders: readonly string[]): AsyncGenerator<{ covers: string; tar: AsyncIterable<Buffer> }>;
}

export interface DeltaBaseOptions {
  /** ID of the youngest image of the same repository, if there is any: a rebuild is mostly of that. */
  youngest: Promise<string | undefined>;
  /** Of the image that is coming, bottom first. */
  diffIds: readonly Digest[];
  /** Images that share layers with the one that is coming, those that share most first. */
  relatedImages: () => Promise<readonly RelatedImage[]>;
  /** Where the store keeps blobs. */
  blobs: ContainerdBlobs | undefined;
  run: RunId;
  signal: AbortSignal;
}

/**
 * The images of an engine that are most like the one that is coming: the youngest of the same repository, which a rebuild is
 * mostly of, and the one that shares most layers with it, which is looked for when it is wanted. Undefined when there is neither.
 */
export async function findDeltaBases(
  engine: EngineImages & EngineContainers,
  options: DeltaBaseOptions,
): Promise<DeltaBases | undefined> {
  const { youngest, relatedImages } = options;
  const sameName = await youngest;
  const nearest = memoize(async () => {
    const [id] = (await relatedImages()).map((relative) => relative.id);
    return id === sameName ? undefined : id;
  });
  const ids = sameName === undefined ? [nearest] : [async () => sameName, nearest];
  if (sameName === undefined && (await nearest()) === undefined) return undefined;
  const images = ids.map((id) => new EngineImage(engine, id, options));
  return {
    images,
    reads: options.blobs === undefined ? "files" : "blobs",
    async [Symbol.asyncDispose]() {
      for (const one of images) await one.close();
    },
  };
}

class EngineImage implements DeltaBaseImage {
  readonly #engine: EngineImages & EngineContainers;
  readonly #id: () => Promise<string | undefined>;
  readonly #options: DeltaBaseOptions;
  #opened: Promise<ImageFiles> | undefined;

  /** @param id undefined: there is no such image, and so nothing in it */
  constructor(
    engine: EngineImages & EngineContainers,
    id: () => Promise<string | undefined>,
    options: DeltaBaseOptions,
  ) {
    this.#engine = engine;
    this.#id = id;
    this.#options = options;
  }

  /**
   * A blob is read in one go: of 474 MB of node_modules, 32,000 files out of a folder took 7 s from a disk that had not been read,
   * and their layer's blob 2.
   */
  async layerLike(diffId: Digest): Promise<AsyncIterable<Buffer> | undefined> {
    const { diffIds, blobs } = this.#options;
    const id = await this.#id();
    if (blobs === undefined || id === undefined) return undefined;
    const own = (await this.#engine.inspectImage(id))?.diffIds ?? [];
    const location = findBaseLayer(diffIds, own, diffId);
    return location === undefined ? undefined : await blobs.layerOf({ id, diffIds: own }, location);
  }

  async *tars(folders: readonly string[]): AsyncGenerator<{ covers: string; tar: AsyncIterable<Buffer> }> {
    const { run, signal } = this.#options;
    const id = await this.#id();
    if (id === undefined) return;
    this.#opened ??= this.#engine.openFiles(id, { [RUN_LABEL]: run }, signal);
    const files = await this.#opened;
    for (const folder of folders) {
      const tar = await files.read(folder);
      if (tar === undefined) continue;
      try {
        yield { covers: folder, tar };
      } finally {
        await tar[Symbol.asyncIterator]().return?.(); // who has not begun with it does without it
      }
    }
  }

  async close(): Promise<void> {
    const files = await this.#opened?.catch(() => undefined);
    await files?.[Symbol.asyncDispose]();
  }
}
