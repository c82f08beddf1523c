import type { Digest } from "../image/digest.ts";
import { deferred, type Deferred } from "../streams/deferred.ts";
import { queue, type Queue } from "../streams/queue.ts";
import { layersOnlyConfig } from "./compose-manifest.ts";
import type { ImageToLoad } from "./store.ts";

/** The image at the end of an archive. */
export interface FinalImage {
  /** Raw. */
  config: Buffer;
  name: string;
  /**
   * The number of lowest layers that the store has when the archive ends. The other layers are in the archive, or present in the store as
   * blobs.
   */
  layersInStore: number;
}

/** A load whose archive still accepts layers. */
export interface OpenLoad {
  /** Resolves when the store has the image. Rejects with the errors of the engine, of `layers` and of `finish`. */
  loaded: Promise<void>;
  /** Ends the load in the middle of a layer. */
  abort: (error: Error) => void;
}

export interface LoadAheadOptions<Layer> {
  /** Starts a load. It calls `finish` after the last layer. */
  load: (layers: AsyncIterable<Layer>, finish: () => Promise<FinalImage>) => OpenLoad;
  /**
   * Returns a temporary name for an image of the `count` lowest layers. If undefined, all layers are written into one archive, for an
   * engine that cannot load two at a time.
   */
  nameForLowest: ((count: number) => string) | undefined;
  /** Layers of at least this many bytes are loaded before the other layers have arrived. */
  minBytes: number;
  /** Removes a name, and also the image if it has no other name. */
  removeName: (name: string) => Promise<void>;
}

type SizedLayer = { diffId: Digest; size: number };

/**
 * Loads an image while its layers arrive. An engine begins to unpack an image when its archive is complete, so the lowest missing layers
 * are loaded as separate images as soon as they have arrived, while the other layers are in transit. Layers that arrive before a layer
 * below them are written into the last archive. All images of lowest layers are removed at the end, also after a failure.
 *
 * @returns the raw config. Rejects as soon as a load fails.
 */
export async function loadAhead<Layer extends SizedLayer>(
  image: ImageToLoad<Layer>,
  name: string,
  options: LoadAheadOptions<Layer>,
): Promise<Buffer> {
  const loader = new AheadLoader(image, options);
  try {
    return await Promise.race([loader.loadAll(name), loader.failed.promise]);
  } catch (error) {
    loader.abort(error as Error);
    throw error;
  } finally {
    await loader.removeLowestImages();
  }
}

interface OpenArchive<Layer> extends OpenLoad {
  layers: Queue<Layer>;
  /** Bytes of its layers. */
  size: number;
  image: Deferred<FinalImage>;
}

class AheadLoader<Layer extends SizedLayer> {
  readonly #image: ImageToLoad<Layer>;
  readonly #options: LoadAheadOptions<Layer>;
  readonly #others: ReadonlySet<Digest>;
  /** The number of lowest layers that are in the store, or in a complete archive that is being loaded. */
  #layersInStore: number;
  /** Resolves when they are in the store. */
  #below: Promise<unknown> = Promise.resolve();
  readonly #archives: OpenArchive<Layer>[] = [];
  readonly #names: string[] = [];
  /** Rejects as soon as a load fails. */
  readonly failed = deferred<never>();

  constructor(image: ImageToLoad<Layer>, options: LoadAheadOptions<Layer>) {
    this.#image = image;
    this.#options = options;
    this.#others = new Set(image.others.map(({ diffId }) => diffId));
    this.#layersInStore = image.lowest.length;
    this.failed.promise.catch(() => {});
  }

  /** Loads all layers, and returns the config. */
  async loadAll(name: string): Promise<Buffer> {
    const last = await this.#distribute();
    last.layers.end();
    await this.#below;
    const config = await this.#image.config();
    last.image.resolve({ config, name, layersInStore: this.#layersInStore });
    await last.loaded;
    return config;
  }

  /**
   * Puts each layer into an archive when it arrives, and loads archives of lowest layers. Returns the archive that is to end with the
   * image.
   */
  async #distribute(): Promise<OpenArchive<Layer>> {
    const { diffIds, layers } = this.#image;
    const { nameForLowest, minBytes } = this.#options;
    let missing = new Set(diffIds.slice(this.#layersInStore).filter((diffId) => !this.#others.has(diffId))).size;
    /** The number of lowest layers that are in the store or in `lowest`. */
    let stacked = this.#skipPresent(this.#layersInStore);
    /** The archive for the next layer from the bottom. */
    let lowest: OpenArchive<Layer> | undefined;
    /** The archive for layers that arrive before a layer below them. */
    let rest: OpenArchive<Layer> | undefined;
    for await (const layer of this.#untilFailed(layers)) {
      missing -= 1;
      if (nameForLowest !== undefined && layer.diffId === diffIds[stacked]) {
        put((lowest ??= this.#openArchive()), layer);
        stacked = this.#skipPresent(stacked + 1);
        if (lowest.size < minBytes || missing <= 0) continue;
        this.#loadLowest(lowest, stacked, nameForLowest(stacked));
        lowest = undefined;
      } else put((rest ??= this.#openArchive()), layer);
    }
    if (lowest !== undefined && rest !== undefined && nameForLowest !== undefined) {
      this.#loadLowest(lowest, stacked, nameForLowest(stacked));
    }
    return rest ?? lowest ?? this.#openArchive();
  }

  /** Returns the position of the first layer, from `position` on, that is not present as a blob. */
  #skipPresent(position: number): number {
    let next = position;
    while (this.#others.has(this.#image.diffIds[next] ?? "")) next += 1;
    return next;
  }

  async *#untilFailed(layers: AsyncIterable<Layer>): AsyncGenerator<Layer> {
    const iterator = layers[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { done, value } = await Promise.race([iterator.next(), this.failed.promise]);
        if (done) return;
        yield value;
      }
    } finally {
      void iterator.return?.().catch(() => {}); // it may be waiting for a layer until its owner ends it
    }
  }

  #openArchive(): OpenArchive<Layer> {
    const layers = queue<Layer>();
    const image = deferred<FinalImage>();
    image.promise.catch(() => {});
    const load = this.#options.load(layers, async () => await image.promise);
    load.loaded.catch((error: unknown) => this.failed.reject(error));
    const archive = { ...load, layers, size: 0, image };
    this.#archives.push(archive);
    return archive;
  }

  /** Ends an archive with an image of the `count` lowest layers. */
  #loadLowest({ layers, image, loaded }: OpenArchive<Layer>, count: number, name: string): void {
    const config = layersOnlyConfig(this.#image.platform, this.#image.diffIds.slice(0, count));
    const layersInStore = this.#layersInStore;
    this.#below.then(
      () => image.resolve({ config, name, layersInStore }),
      (error: unknown) => image.reject(error),
    );
    layers.end();
    this.#names.push(name);
    this.#below = loaded;
    this.#layersInStore = count;
  }

  abort(error: Error): void {
    this.#image.cancel(); // an archive waits for its current layer to end
    for (const archive of this.#archives) {
      archive.abort(error);
      archive.layers.end();
      archive.image.reject(error);
    }
  }

  async removeLowestImages(): Promise<void> {
    await Promise.allSettled(this.#archives.map(({ loaded }) => loaded));
    for (const name of this.#names) await this.#options.removeName(name);
  }
}

function put<Layer extends SizedLayer>(archive: OpenArchive<Layer>, layer: Layer): void {
  archive.size += layer.size;
  archive.layers.push(layer);
}
