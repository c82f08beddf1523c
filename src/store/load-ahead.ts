import type { Readable } from "node:stream";
import { streamDockerArchive, type LayerToStream } from "../image/archive/write-docker-archive.ts";
import type { Digest } from "../image/digest.ts";
import { queue, type Queue } from "../streams/queue.ts";
import type { StreamedDelivery } from "./store.ts";

/**
 * Bytes, plain or packed, from which on layers are put in before the others have come. An engine takes 100 to 200 MB/s in, with
 * one core, which it would else begin with after the last byte; an image more costs it some ten milliseconds.
 */
const WORTH_IT = 64_000_000;

export interface LoadAheadOptions {
  load: (archive: Readable) => Promise<void>;
  /** A temporary name for an image of the lowest layers, so many of them. */
  nameFor: (count: number) => string;
  /** Takes such a name away again, and the image that has no other. */
  forget: (name: string) => Promise<void>;
}

/**
 * Loads an image while its layers come: as soon as the lowest of those that are missing are there, an image of them and of what
 * is below is loaded, so that the engine takes them in while the others are on their way. Layers that come before one below
 * them wait in the engine's temporary folder, in the archive that is finished last. The images of lower layers are gone at the
 * end, however it ends.
 */
export async function loadAhead(delivery: StreamedDelivery, name: string, options: LoadAheadOptions): Promise<void> {
  const loading = new Loading(delivery, options);
  try {
    await Promise.race([loading.all(name), loading.failed]);
  } catch (error) {
    loading.breakOff(error as Error);
    throw error;
  } finally {
    await loading.forgetStacks();
  }
}

/** An archive that is being loaded while layers are put into it. */
interface OpenArchive {
  layers: Queue<LayerToStream>;
  /** Bytes of its layers. */
  size: number;
  stream: Readable;
  /** Says what image it is of, when all its layers are in it. */
  close: (image: () => Promise<{ config: Uint8Array; name: string }>) => void;
  loaded: Promise<void>;
}

class Loading {
  readonly #delivery: StreamedDelivery;
  readonly #options: LoadAheadOptions;
  /** Of the image's layers, bottom first, how many are in the store, or in a stack that is on its way into it. */
  #inStore: number;
  /** The same, and those in a stack that is still open. */
  #stacked: number;
  #archives: OpenArchive[] = [];
  #names: string[] = [];
  /** The stacks so far are in the store. */
  #below: Promise<unknown> = Promise.resolve();
  #fail!: (error: unknown) => void;
  readonly failed: Promise<never>;

  constructor(delivery: StreamedDelivery, options: LoadAheadOptions) {
    this.#delivery = delivery;
    this.#options = options;
    this.#inStore = delivery.here.length;
    this.#stacked = this.#inStore;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(() => {});
  }

  async all(name: string): Promise<void> {
    const { diffIds, layers, config } = this.#delivery;
    let missing = new Set(diffIds.slice(this.#stacked)).size;
    let stack: OpenArchive | undefined;
    let rest: OpenArchive | undefined;
    for await (const layer of layers) {
      missing -= 1;
      if (layer.diffId === diffIds[this.#stacked]) {
        stack ??= this.#open();
        put(stack, layer);
        this.#stacked += 1;
        if (stack.size < WORTH_IT || missing <= 0) continue;
        this.#closeStack(stack);
        stack = undefined;
      } else put((rest ??= this.#open()), layer);
    }
    if (stack !== undefined && rest !== undefined) this.#closeStack(stack);
    const last = rest ?? stack ?? this.#open();
    last.layers.end();
    const below = this.#below;
    last.close(async () => {
      await below;
      return { config: await config(), name };
    });
    await last.loaded;
  }

  #open(): OpenArchive {
    const layers = queue<LayerToStream>();
      let close!: OpenArchive["close"];
    const image = new Promise<() => Promise<{ config: Uint8Array; name: string }>>((resolve) => (close = resolve));
    const stream = streamDockerArchive({
      layers,
      finish: async () => {
        const { config, name } = await (await image)();
        return { config, here: this.#delivery.diffIds.slice(0, this.#inStore), names: [name] };
      },
    });
    const loaded = this.#options.load(stream);
    loaded.catch((error: unknown) => this.#fail(error));
    const archive = { layers, size: 0, stream, close, loaded };
    this.#archives.push(archive);
    return archive;
  }

  #closeStack(stack: OpenArchive): void {
    const name = this.#options.nameFor(this.#stacked);
    const config = stackConfig(this.#delivery.platform, this.#delivery.diffIds.slice(0, this.#stacked));
    const below = this.#below;
    this.#names.push(name);
    this.#below = stack.loaded;
    this.#inStore = this.#stacked;
    stack.close(async () => {
      await below;
      return { config, name };
    });
    stack.layers.end();
  }

  breakOff(error: Error): void {
    for (const { layers, stream } of this.#archives) {
      stream.destroy(error);
      layers.end();
    }
  }

  async forgetStacks(): Promise<void> {
    await Promise.allSettled(this.#archives.map(({ loaded }) => loaded));
    for (const name of this.#names) await this.#options.forget(name);
  }
}

function put(archive: OpenArchive, layer: LayerToStream): void {
  archive.size += layer.size;
  archive.layers.push(layer);
}

/** Of an image that is nothing but layers. */
function stackConfig(platform: string, diffIds: readonly Digest[]): Buffer {
  const [os, architecture, variant] = platform.split("/");
  return Buffer.from(
    JSON.stringify({ architecture, os, variant, config: {}, rootfs: { type: "layers", diff_ids: diffIds } }),
  );
}
