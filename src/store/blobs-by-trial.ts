import type { EngineBuilder } from "../engine/engine-builder.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { EngineError } from "../engine/engine-error.ts";
import { forgetName } from "../engine/temporary-name.ts";
import { Readable } from "node:stream";
import { decompressLayer } from "../image/layer/decompress-layer.ts";
import { writeOciArchive } from "../image/oci/write-oci-archive.ts";
import type { Digest } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { RelatedImage } from "./related-images.ts";
import { composeManifest, stackConfig } from "./compose-manifest.ts";
import { refuseIncomplete, type ComposedImage } from "./refuse-incomplete.ts";
import type { ContainerdBlobs } from "./containerd-blobs.ts";
import { readManifest } from "./read-manifest.ts";
import { saveBlobs } from "./save-blobs.ts";
import type { PresentLayer, AvailableLayer } from "./store.ts";

export interface TrialOptions {
  platform: string;
  /** A name that nobody else uses, for trials; removed each time. */
  trialName: string;
  /** The images that share layers with the one that comes, those that share most first. */
  relatedImages: () => Promise<readonly RelatedImage[]>;
  /** The blobs of an image in this store, bottom layer first, as a push tells them; undefined when it does not. */
  blobsOf(id: string): Promise<Descriptor[] | undefined>;
  signal: AbortSignal;
  /** For --verbose. */
  onDetail: (text: string) => void;
}

/**
 * For engines that do not tell of their blobs (older ones, or through a proxy that passes nothing but the API of old): the blobs of
 * images that share layers are learnt from a push that is answered with "it is here", or from such an image's manifest; that they are
 * there is proven by loading an image of just these layers. Some 100 ms each. Docker 26.1 and 28.5 were run so.
 */
export function blobsByTrial(engine: EngineImages & EngineBuilder, options: TrialOptions): ContainerdBlobs {
  return {
    async present(diffIds, named) {
      const relatedImages = await options.relatedImages();
      const here = await lowestLayers(diffIds, relatedImages, named);
      return { here, stored: await otherLayers(diffIds, here, relatedImages, named) };
    },
    known: async () => ({}),
    async layerOf({ id, diffIds }, index) {
      const blobs = await blobsOf(id);
      const blob = blobs.length === diffIds.length ? blobs[index] : undefined;
      return blob && plain(blob);
    },
  };

  async function* plain(blob: Descriptor): AsyncGenerator<Buffer> {
    const name = options.trialName.replace(/(?=:[^:/]+$)/, "/layer"); // beside a trial
    for await (const { chunks } of saveBlobs(engine, [blob], name)) {
      yield* decompressLayer(Readable.from(chunks(), { objectMode: false }));
    }
  }

  /** The lowest layers, on their stack. */
  async function lowestLayers(
    diffIds: readonly Digest[],
    relatedImages: readonly RelatedImage[],
    named: readonly Descriptor[] | undefined,
  ): Promise<PresentLayer[]> {
    for await (const blobs of named === undefined ? stacks(relatedImages) : stacksOf(named, relatedImages)) {
      for (let count = blobs.length; count > 0; count = Math.floor(count / 2)) {
        const layers = blobs
          .slice(0, count)
          .map((blob, index) => ({ kind: "here" as const, diffId: diffIds[index] ?? "", blob }));
        if (await holds(layers)) return layers;
      }
    }
    if ((relatedImages[0]?.shared ?? 0) > 0) {
      const what = named === undefined ? "blobs" : "blobs of the same digests";
      options.onDetail(`layers are unpacked here whose ${what} cannot be proven to be here: they are sent`);
    }
    return [];
  }

  /** Those above that are here as blobs. One of the lowest may stand in the image once more. */
  async function otherLayers(
    diffIds: readonly Digest[],
    lowest: readonly PresentLayer[],
    relatedImages: readonly RelatedImage[],
    named: readonly Descriptor[] | undefined,
  ): Promise<PresentLayer[]> {
    const above = new Set(diffIds.slice(lowest.length));
    const found = new Map(lowest.filter(({ diffId }) => above.has(diffId)).map((layer) => [layer.diffId, layer]));
    const missing = new Set([...above].filter((diffId) => !found.has(diffId)));
    const has = (relative: RelatedImage): number => relative.diffIds.filter((diffId) => missing.has(diffId)).length;
    const holders = relatedImages.filter((relative) => has(relative) > 0).toSorted((a, b) => has(b) - has(a));
    for (const relative of holders.slice(0, MAX_PROBES)) {
      if (has(relative) === 0) continue;
      for (const layer of await layersOf(relative, missing)) {
        const location = diffIds.indexOf(layer.diffId);
        if (named !== undefined && named[location]?.digest !== layer.blob?.digest) continue;
        found.set(layer.diffId, layer);
        missing.delete(layer.diffId);
      }
    }
    return [...found.values()];
  }

  /** The blobs of an image here, bottom layer first. */
  async function blobsOf(id: string): Promise<readonly Descriptor[]> {
    const { platform, trialName } = options;
    return (await options.blobsOf(id)) ?? (await readManifest(engine, { id, platform }, trialName))?.layers ?? [];
  }

  /** Those of an image's layers that are among some, with their blobs, if its own stack shows that these are there. */
  async function layersOf({ id, diffIds }: RelatedImage, among: ReadonlySet<Digest>): Promise<PresentLayer[]> {
    const blobs = await blobsOf(id);
    if (blobs.length !== diffIds.length) return [];
    const stack = diffIds
      .slice(0, diffIds.findLastIndex((diffId) => among.has(diffId)) + 1)
      .map((diffId, index) => ({ kind: "here" as const, diffId, blob: blobs[index] as Descriptor }));
    return (await holds(stack)) ? stack.filter(({ diffId }) => among.has(diffId)) : [];
  }

  /** What the blobs of the shared layers may be: those of the nearest relatives. */
  async function* stacks(relatedImages: readonly RelatedImage[]): AsyncGenerator<Descriptor[]> {
    const shared = relatedImages[0]?.shared ?? 0;
    if (shared === 0) return;
    for (const { id } of relatedImages.filter((relative) => relative.shared === shared).slice(0, MAX_PROBES)) {
      const blobs = await blobsOf(id);
      if (blobs.length >= shared) yield blobs.slice(0, shared);
    }
  }

  /**
   * The longest of the stacks that relatives have of just these blobs: one that shares fewer layers may have more of them. That a
   * blob holds a layer is taken from an image here, and not from the sender's manifest: it could name any blob of this store.
   */
  async function* stacksOf(
    named: readonly Descriptor[],
    relatedImages: readonly RelatedImage[],
  ): AsyncGenerator<Descriptor[]> {
    let longest: Descriptor[] = [];
    for (const { id, shared } of relatedImages.slice(0, MAX_NAMED_PROBES)) {
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
  async function holds(layers: AvailableLayer[]): Promise<boolean> {
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

/** Loads an image of which nothing is sent but config and manifest. */
async function loadComposed(
  engine: EngineImages & EngineBuilder,
  platform: string,
  image: ComposedImage,
): Promise<void> {
  const { config, layers, name } = image;
  const manifest = composeManifest(config, layers);
  await engine.loadImage(writeOciArchive({ config, manifest, blobs: [], names: [name] }), platform);
  await refuseIncomplete(engine, image);
}
