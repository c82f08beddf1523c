import type { Engine } from "../engine/engine.ts";
import { EngineError } from "../engine/engine.ts";
import { forgetName } from "../engine/temporary-name.ts";
import type { BlobFile } from "../image/archive/oci-layout.ts";
import { streamOciLayout, writeOciLayout } from "../image/archive/write-oci-layout.ts";
import type { Digest } from "../image/digest.ts";
import { InvalidImage, parseConfig, type Descriptor, type WrittenManifest } from "../image/manifest.ts";
import { composeManifest, manifestFor, stackConfig } from "./compose.ts";
import type { Relative } from "./chains.ts";
import { loadAhead } from "./load-ahead.ts";
import type { Delivery, FileStore, LayerFile, LayerHere, LayerInHand } from "./store.ts";
import { storedManifest } from "./stored-blobs.ts";

export interface ContainerdStoreOptions {
  platform: string;
  /** A name that nobody else uses, for trials; removed each time. */
  trialName: string;
  /** A temporary name for an image of so many of the lowest layers. */
  nameForLowest: (count: number) => string;
  /** The blobs of an image in this store, bottom layer first, as a push tells them; undefined when it does not. */
  blobsOf(id: string): Promise<Descriptor[] | undefined>;
  onDetail: (text: string) => void;
}

/**
 * Docker's containerd image store: a layer is there when it is unpacked (by chain ID) and its blob is there (by digest); one whose
 * blob alone is there can be unpacked again. It takes an OCI layout that leaves out blobs, if the manifest names the digests that
 * it really holds: such a manifest is composed here, of its own blobs and of those that have arrived.
 */
export function containerdStore(engine: Engine, options: ContainerdStoreOptions): FileStore {
  return {
    takes: "files",
    async present(diffIds, relatives, named) {
      const here = await lowestLayers(diffIds, relatives, named);
      return { here, stored: await otherLayers(diffIds, here, relatives, named) };
    },
    load: async (delivery, name) => await loadLayers(engine, delivery, name, options),
  };

  /** The lowest layers, on their stack. */
  async function lowestLayers(
    diffIds: readonly Digest[],
    relatives: readonly Relative[],
    named: readonly Descriptor[] | undefined,
  ): Promise<LayerHere[]> {
    for await (const blobs of named === undefined ? stacks(relatives) : stacksOf(named, relatives)) {
      for (let count = blobs.length; count > 0; count = Math.floor(count / 2)) {
        const layers = blobs
          .slice(0, count)
          .map((blob, index) => ({ kind: "here" as const, diffId: diffIds[index] ?? "", blob }));
        if (await holds(layers)) return layers;
      }
    }
    if ((relatives[0]?.shared ?? 0) > 0) {
      const what = named === undefined ? "blobs" : "blobs of the same digests";
      options.onDetail(`layers are unpacked here whose ${what} cannot be proven to be here: they are sent`);
    }
    return [];
  }

  /** Those above that are here as blobs. One of the lowest may stand in the image once more. */
  async function otherLayers(
    diffIds: readonly Digest[],
    lowest: readonly LayerHere[],
    relatives: readonly Relative[],
    named: readonly Descriptor[] | undefined,
  ): Promise<LayerHere[]> {
    const above = new Set(diffIds.slice(lowest.length));
    const found = new Map(lowest.filter(({ diffId }) => above.has(diffId)).map((layer) => [layer.diffId, layer]));
    const missing = new Set([...above].filter((diffId) => !found.has(diffId)));
    const has = (relative: Relative): number => relative.diffIds.filter((diffId) => missing.has(diffId)).length;
    const holders = relatives.filter((relative) => has(relative) > 0).toSorted((a, b) => has(b) - has(a));
    for (const relative of holders.slice(0, MAX_PROBES)) {
      if (has(relative) === 0) continue;
      for (const layer of await layersOf(relative, missing)) {
        const place = diffIds.indexOf(layer.diffId);
        if (named !== undefined && named[place]?.digest !== layer.blob?.digest) continue;
        found.set(layer.diffId, layer);
        missing.delete(layer.diffId);
      }
    }
    return [...found.values()];
  }

  /** The blobs of an image here, bottom layer first. */
  async function blobsOf(id: string): Promise<readonly Descriptor[]> {
    const { platform, trialName } = options;
    return (await options.blobsOf(id)) ?? (await storedManifest(engine, id, platform, trialName))?.layers ?? [];
  }

  /** Those of an image's layers that are among some, with their blobs, if its own stack shows that these are there. */
  async function layersOf({ id, diffIds }: Relative, among: ReadonlySet<Digest>): Promise<LayerHere[]> {
    const blobs = await blobsOf(id);
    if (blobs.length !== diffIds.length) return [];
    const stack = diffIds
      .slice(0, diffIds.findLastIndex((diffId) => among.has(diffId)) + 1)
      .map((diffId, index) => ({ kind: "here" as const, diffId, blob: blobs[index] as Descriptor }));
    return (await holds(stack)) ? stack.filter(({ diffId }) => among.has(diffId)) : [];
  }

  /** What the blobs of the shared layers may be: those of the nearest relatives. */
  async function* stacks(relatives: readonly Relative[]): AsyncGenerator<Descriptor[]> {
    const shared = relatives[0]?.shared ?? 0;
    if (shared === 0) return;
    for (const { id } of relatives.filter((relative) => relative.shared === shared).slice(0, MAX_PROBES)) {
      const blobs = await blobsOf(id);
      if (blobs.length >= shared) yield blobs.slice(0, shared);
    }
  }

  /**
   * The longest of the stacks that relatives have of just these blobs: one that shares fewer layers may have more of them. That a
   * blob holds a layer is taken from an image here, and not from the sender's manifest: it could name any blob of this store.
   */
  async function* stacksOf(named: readonly Descriptor[], relatives: readonly Relative[]): AsyncGenerator<Descriptor[]> {
    let longest: Descriptor[] = [];
    for (const { id, shared } of relatives.slice(0, MAX_NAMED_PROBES)) {
      if (shared <= longest.length) break;
      const blobs = await blobsOf(id);
      const other = named.slice(0, shared).findIndex(({ digest }, index) => blobs[index]?.digest !== digest);
      const same = named.slice(0, other === -1 ? shared : other);
      if (same.length > longest.length) longest = same;
    }
    if (longest.length > 0) yield longest;
  }

  /**
   * Whether the store holds these layers, blobs and all: an image of just them, of which nothing but config and manifest is
   * sent, is loaded under a name of its own and looked at. Nobody says so directly: with `?platform=` (API 1.48) the load of
   * an incomplete image fails, 26.1 leaves it out of the list, and others list it without the size of what is not there.
   */
  async function holds(layers: LayerInHand[]): Promise<boolean> {
    const { platform, trialName } = options;
    const config = stackConfig(
      platform,
      layers.map(({ diffId }) => diffId),
    );
    try {
      await loadComposed(engine, platform, { config, layers, name: trialName });
      return true;
    } catch (error) {
      if (error instanceof EngineError) return false;
      throw error;
    } finally {
      await forgetName(engine, options.trialName);
    }
  }
}

/** Images with the same shared layers that are asked for their blobs: more only repeat the answer. */
const MAX_PROBES = 2;
/** The same, where it is about the very blobs: here answers differ. Each takes some 50 ms. */
const MAX_NAMED_PROBES = 4;

/** Bytes, as they are stored: the engine unpacks some 60 MB/s of them, with one core, and an image more costs it 0.1 s. */
const WORTH_IT = 32_000_000;

async function loadLayers(
  engine: Engine,
  delivery: Delivery<LayerFile>,
  name: string,
  { platform, nameForLowest }: ContainerdStoreOptions,
): Promise<Digest> {
  const known = new Map<Digest, LayerInHand>(
    [...delivery.here, ...delivery.stored].map((layer) => [layer.diffId, layer]),
  );
  const inHand = (config: Buffer): LayerInHand[] =>
    parseConfig(config).diffIds.map((diffId) => {
      const layer = known.get(diffId);
      if (layer === undefined) throw new InvalidImage("these are not the layers of its config");
      return layer;
    });
  /** Of the image itself, and not of one of its lowest layers, the manifest may be told. */
  const writtenFor = (config: Buffer): WrittenManifest => {
    const { manifest } = delivery;
    return manifest === undefined
      ? composeManifest(config, inHand(config))
      : manifestFor(config, inHand(config), manifest);
  };
  async function* blobsOf(layers: AsyncIterable<LayerFile>): AsyncGenerator<BlobFile> {
    for await (const layer of layers) {
      // It may be here already, where an image has it twice: then that blob is the one that has been proven.
      if (!known.has(layer.diffId)) known.set(layer.diffId, layer);
      yield { digest: layer.blob.digest, path: layer.path, size: layer.size };
    }
  }
  const image = await loadAhead(delivery, name, {
    load(layers, finish) {
      let failure: { error: unknown } | undefined;
      let image: ComposedImage | undefined;
      const archive = streamOciLayout({
        blobs: blobsOf(layers),
        async finish() {
          const { config, name: called } = await finish();
          image = { config, layers: inHand(config), name: called };
          return { config, manifest: writtenFor(config), names: [called] };
        },
        onError: (error) => (failure ??= { error }),
      });
      const loaded = async (): Promise<void> => {
        try {
          await engine.loadImage(archive, platform);
          if (image !== undefined) await refuseIncomplete(engine, image);
        } catch (error) {
          throw failure === undefined ? error : failure.error;
        }
        if (failure !== undefined) throw failure.error;
      };
      // What the engine has begun to take in is not interrupted: the archive ends without an image in it.
      return { loaded: loaded(), breakOff: () => {} };
    },
    nameForLowest: engine.takesManyAtOnce ? nameForLowest : undefined,
    worthIt: WORTH_IT,
    forget: async (lowest) => await forgetName(engine, lowest),
  });
  return writtenFor(image).descriptor.digest;
}

/** An image whose manifest names, for each layer, the blob that the store has. */
interface ComposedImage {
  /** Byte for byte. */
  config: Buffer;
  /** Bottom first: one for each diff ID of the config. */
  layers: readonly LayerInHand[];
  name: string;
}

/** Loads an image of which nothing is sent but config and manifest. */
async function loadComposed(engine: Engine, platform: string, image: ComposedImage): Promise<void> {
  const { config, layers, name } = image;
  const manifest = composeManifest(config, layers);
  await engine.loadImage(writeOciLayout({ config, manifest, blobs: [], names: [name] }), platform);
  await refuseIncomplete(engine, image);
}

async function refuseIncomplete(engine: Engine, { layers, name }: ComposedImage): Promise<void> {
  const size = (await engine.listedSize(name)) ?? 0;
  const needed = layers.reduce((all, { blob }) => all + (blob?.size ?? 0), 0);
  if (size < needed) throw new EngineError(`the engine has ${size} bytes of the image, of ${needed}`);
}
