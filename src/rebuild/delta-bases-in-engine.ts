import type { EngineContainers, ImageFiles } from "../engine/engine-containers.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import type { Digest } from "../image/digest.ts";
import { RUN_LABEL, type RunId } from "../run/run-id.ts";
import type { ContainerdBlobs } from "../store/containerd-blobs.ts";
import type { RelatedImage } from "../store/related-images.ts";
import { memoize } from "../streams/memoize.ts";
import type { DeltaBaseImage, DeltaBases } from "./delta-bases.ts";
import { findBaseLayer } from "./find-base-layer.ts";

export interface DeltaBasesInEngineOptions {
  /** The ID of the newest image of the same repository, if any: the incoming image is mostly a newer build of it. */
  newest: Promise<string | undefined>;
  /** Diff IDs of the incoming image, bottom first. */
  diffIds: readonly Digest[];
  /** Returns images that share layers with the incoming image, those with the most shared layers first. */
  relatedImages: () => Promise<readonly RelatedImage[]>;
  /** The blobs of a containerd store. */
  blobs: ContainerdBlobs | undefined;
  runId: RunId;
  signal: AbortSignal;
}

/**
 * Finds the images of an engine that are most similar to the incoming image: the newest of the same repository, and the image that shares
 * the most layers, which is looked up when it is needed. Returns undefined if neither exists.
 */
export async function findDeltaBasesInEngine(
  engine: EngineImages & EngineContainers,
  options: DeltaBasesInEngineOptions,
): Promise<DeltaBases | undefined> {
  const { newest, relatedImages } = options;
  const sameName = await newest;
  const mostShared = memoize(async () => {
    const [id] = (await relatedImages()).map((image) => image.id);
    return id === sameName ? undefined : id;
  });
  const ids = sameName === undefined ? [mostShared] : [async () => sameName, mostShared];
  if (sameName === undefined && (await mostShared()) === undefined) return undefined;
  const images = ids.map((id) => new EngineImage(engine, id, options));
  return {
    images,
    reads: options.blobs === undefined ? "files" : "blobs",
    async [Symbol.asyncDispose]() {
      for (const image of images) await image.close();
    },
  };
}

class EngineImage implements DeltaBaseImage {
  readonly #engine: EngineImages & EngineContainers;
  readonly #id: () => Promise<string | undefined>;
  readonly #options: DeltaBasesInEngineOptions;
  #opened: Promise<ImageFiles> | undefined;

  /** @param id resolves to undefined if the image does not exist, which then has no files */
  constructor(
    engine: EngineImages & EngineContainers,
    id: () => Promise<string | undefined>,
    options: DeltaBasesInEngineOptions,
  ) {
    this.#engine = engine;
    this.#id = id;
    this.#options = options;
  }

  async name(): Promise<string | undefined> {
    const id = await this.#id();
    return id === undefined ? undefined : ((await this.#engine.inspectImage(id))?.names?.[0] ?? id);
  }

  /**
   * Reads the layer as one blob, which is faster: from a cold disk, 32,000 files of 474 MB of node_modules took 7 s through a container's
   * archive, and the blob of their layer took 2 s.
   */
  async baseLayer(diffId: Digest): Promise<AsyncIterable<Buffer> | undefined> {
    const { diffIds, blobs } = this.#options;
    const id = await this.#id();
    if (blobs === undefined || id === undefined) return undefined;
    const present = (await this.#engine.inspectImage(id))?.diffIds ?? [];
    const index = findBaseLayer(diffIds, present, diffId);
    return index === undefined ? undefined : await blobs.layerOf({ id, diffIds: present }, index);
  }

  async *tars(folders: readonly string[]): AsyncGenerator<{ covers: string; tar: AsyncIterable<Buffer> }> {
    const { runId, signal } = this.#options;
    const id = await this.#id();
    if (id === undefined) return;
    this.#opened ??= this.#engine.openFiles(id, { [RUN_LABEL]: runId }, signal);
    const files = await this.#opened;
    for (const folder of folders) {
      const tar = await files.read(folder);
      if (tar === undefined) continue;
      try {
        yield { covers: folder, tar };
      } finally {
        await tar[Symbol.asyncIterator]().return?.(); // the caller may not have started to read it
      }
    }
  }

  async close(): Promise<void> {
    const files = await this.#opened?.catch(() => undefined);
    await files?.[Symbol.asyncDispose]();
  }
}
