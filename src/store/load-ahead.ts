import type { Digest } from "../image/digest.ts";
import { deferred, type Deferred } from "../streams/deferred.ts";
import { queue, type Queue } from "../streams/queue.ts";
import { stackConfig } from "./compose-manifest.ts";
import type { ImageToLoad } from "./store.ts";

/** An image that an archive is finished with. */
export interface StackedImage {
  /** Byte for byte. */
  config: Buffer;
  name: string;
  /** Of its layers, bottom first, how many the store has by now; the others are in the archive, or the delivery says that they are stored. */
  inStore: number;
}

/** A load that goes on while layers are put into its archive. */
export interface OpenLoad {
  /** Settles when the store has the image, or will not. Rejects, too, with what `layers` or `finish` reject with. */
  loaded: Promise<void>;
  /** Ends it where a layer is only half there. */
  breakOff: (error: Error) => void;
}

export interface LoadAheadOptions<Layer> {
  /** `finish` is asked for when all layers have passed. */
  load: (layers: AsyncIterable<Layer>, finish: () => Promise<StackedImage>) => OpenLoad;
  /**
   * A temporary name for an image of the lowest layers, so many of them. Left out: there is one archive, for an engine that
   * does not take two at a time.
   */
  nameForLowest: ((count: number) => string) | undefined;
  /** Bytes from which on layers are put in before the others have come. */
  worthIt: number;
  /** Takes a name away again, and the image that has no other. */
  forget: (name: string) => Promise<void>;
}

/**
 * Loads an image while its layers come. An engine begins to take an image in when its archive is complete; so, as soon as the
 * lowest of the missing layers are there, they are loaded as an image of their own, while the others are on their way. Layers
 * that come before one below them go into the archive that is finished last. The images of lower layers are gone at the end,
 * however it ends. Resolves to the config. When a load fails, no more layers are waited for.
 */
export async function loadAhead<Layer extends { diffId: Digest; size: number }>(
  delivery: ImageToLoad<Layer>,
  name: string,
  options: LoadAheadOptions<Layer>,
): Promise<Buffer> {
  const loading = new Loading(delivery, options);
  try {
    return await Promise.race([loading.all(name), loading.failed.promise]);
  } catch (error) {
    loading.breakOff(error as Error);
    throw error;
  } finally {
    await loading.forgetStacks();
  }
}

interface OpenArchive<Layer> extends OpenLoad {
  layers: Queue<Layer>;
  /** Bytes of its layers. */
  size: number;
  image: Deferred<StackedImage>;
}

class Loading<Layer extends { diffId: Digest; size: number }> {
  readonly #delivery: ImageToLoad<Layer>;
  readonly #options: LoadAheadOptions<Layer>;
  /** Of the image's layers, bottom first, how many are in the store, or in a closed stack that is on its way into it. */
  #inStore: number;
  /** Settles when they are. */
  #below: Promise<unknown> = Promise.resolve();
  readonly #archives: OpenArchive<Layer>[] = [];
  readonly #names: string[] = [];
  /** Rejects as soon as a load fails. */
  readonly failed = deferred<never>();

  constructor(delivery: ImageToLoad<Layer>, options: LoadAheadOptions<Layer>) {
    this.#delivery = delivery;
    this.#options = options;
    this.#inStore = delivery.here.length;
    this.failed.promise.catch(() => {});
  }

  async all(name: string): Promise<Buffer> {
    const { diffIds, layers, config } = this.#delivery;
    const { nameForLowest, worthIt } = this.#options;
    const stored = new Set(this.#delivery.stored.map(({ diffId }) => diffId));
    let missing = new Set(diffIds.slice(this.#inStore).filter((diffId) => !stored.has(diffId))).size;
    let stacked = this.#inStore;
    const passStored = (): void => {
      while (stored.has(diffIds[stacked] ?? "")) stacked += 1;
    };
    passStored();
    // `stack` takes the layer that comes next from the bottom, `rest` those that come before it; the last archive is the image's.
    let stack: OpenArchive<Layer> | undefined;
    let rest: OpenArchive<Layer> | undefined;
    for await (const layer of this.#untilFailed(layers)) {
      missing -= 1;
      if (nameForLowest !== undefined && layer.diffId === diffIds[stacked]) {
        put((stack ??= this.#open()), layer);
        stacked += 1;
        passStored();
        if (stack.size < worthIt || missing <= 0) continue;
        this.#closeStack(stack, stacked, nameForLowest(stacked));
        stack = undefined;
      } else put((rest ??= this.#open()), layer);
    }
    if (stack !== undefined && rest !== undefined && nameForLowest !== undefined) {
      this.#closeStack(stack, stacked, nameForLowest(stacked));
    }
    const last = rest ?? stack ?? this.#open();
    last.layers.end();
    await this.#below;
    const bytes = await config();
    last.image.resolve({ config: bytes, name, inStore: this.#inStore });
    await last.loaded;
    return bytes;
  }

  async *#untilFailed(layers: AsyncIterable<Layer>): AsyncGenerator<Layer> {
    const coming = layers[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { done, value } = await Promise.race([coming.next(), this.failed.promise]);
        if (done) return;
        yield value;
      }
    } finally {
      void coming.return?.().catch(() => {}); // it may be waiting for a layer: whoever gave it ends that
    }
  }

  #open(): OpenArchive<Layer> {
    const layers = queue<Layer>();
    const image = deferred<StackedImage>();
    image.promise.catch(() => {});
    const load = this.#options.load(layers, async () => await image.promise);
    load.loaded.catch((error: unknown) => this.failed.reject(error));
    const archive = { ...load, layers, size: 0, image };
    this.#archives.push(archive);
    return archive;
  }

  /** Gives the engine an image of what is in the stack, and of what is below. */
  #closeStack({ layers, image, loaded }: OpenArchive<Layer>, count: number, name: string): void {
    const config = stackConfig(this.#delivery.platform, this.#delivery.diffIds.slice(0, count));
    const inStore = this.#inStore;
    this.#below.then(
      () => image.resolve({ config, name, inStore }),
      (error: unknown) => image.reject(error),
    );
    layers.end();
    this.#names.push(name);
    this.#below = loaded;
    this.#inStore = count;
  }

  breakOff(error: Error): void {
    this.#delivery.abandon(); // an archive ends only when the layer that it waits for does
    for (const archive of this.#archives) {
      archive.breakOff(error);
      archive.layers.end();
      archive.image.reject(error);
    }
  }

  async forgetStacks(): Promise<void> {
    await Promise.allSettled(this.#archives.map(({ loaded }) => loaded));
    for (const name of this.#names) await this.#options.forget(name);
  }
}

function put<Layer extends { size: number }>(archive: OpenArchive<Layer>, layer: Layer): void {
  archive.size += layer.size;
  archive.layers.push(layer);
}
