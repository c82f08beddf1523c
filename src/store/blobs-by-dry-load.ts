import { Readable } from "node:stream";
import type { EngineContent } from "../engine/engine-content.ts";
import { EngineError } from "../engine/engine-error.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { forgetName } from "../engine/temporary-name.ts";
import type { Digest } from "../image/digest.ts";
import { decompressLayer } from "../image/layer/decompress-layer.ts";
import type { Descriptor } from "../image/manifest.ts";
import { writeOciArchive } from "../image/oci/write-oci-archive.ts";
import type { Detail } from "../output/details.ts";
import { composeManifest, layersOnlyConfig } from "./compose-manifest.ts";
import type { ContainerdBlobs, KnownImage } from "./containerd-blobs.ts";
import { readManifest } from "./read-manifest.ts";
import { refuseIncomplete } from "./refuse-incomplete.ts";
import type { RelatedImage } from "./related-images.ts";
import { saveBlobs } from "./save-blobs.ts";
import type { PresentLayer, PresentLayers } from "./store.ts";
import type { Platform } from "../image/platform.ts";

export interface DryLoadOptions {
  platform: Platform;
  /** A temporary name for dry loads, which is removed after each one. */
  dryLoadName: string;
  /** Returns images that share layers with the incoming image, those with the most shared layers first. */
  relatedImages: () => Promise<readonly RelatedImage[]>;
  /** Returns the blobs of an image, bottom first, as the engine pushes them; undefined if the engine does not push. */
  blobsOf(id: string): Promise<Descriptor[] | undefined>;
  signal: AbortSignal;
  /** For --verbose. */
  onDetail: (detail: Detail) => void;
}

/** The maximum number of related images with the same shared layers whose blobs are looked up: further images repeat the answer. */
const MAX_RELATED = 2;
/** The same with a manifest to preserve, for which the answers differ. Each lookup takes about 50 ms. */
const MAX_RELATED_NAMED = 4;

/**
 * Finds blobs of an engine without access to its content store (older engines, and proxies that pass only the classic API). A dry push of
 * an image that shares layers, or its manifest, shows the blobs of these layers. A dry load then shows whether the blobs are present: it
 * loads an image of only these layers without any blob, in about 100 ms. Tested with Docker 26.1 and 28.5.
 */
export function blobsByDryLoad(engine: EngineImages & EngineContent, options: DryLoadOptions): ContainerdBlobs {
  return new BlobsByDryLoad(engine, options);
}

class BlobsByDryLoad implements ContainerdBlobs {
  readonly #engine: EngineImages & EngineContent;
  readonly #options: DryLoadOptions;

  constructor(engine: EngineImages & EngineContent, options: DryLoadOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  async present(diffIds: readonly Digest[], named?: readonly Descriptor[]): Promise<PresentLayers> {
    const related = await this.#options.relatedImages();
    const lowest = await this.#lowestLayers(diffIds, related, named);
    return { lowest, others: await this.#otherLayers(diffIds, lowest, related, named) };
  }

  async known(): Promise<KnownImage> {
    return {};
  }

  async layerOf(
    { id, diffIds }: { id: string; diffIds: readonly Digest[] },
    index: number,
  ): Promise<AsyncIterable<Buffer> | undefined> {
    const blobs = await this.#blobsOf(id);
    const blob = blobs.length === diffIds.length ? blobs[index] : undefined;
    return blob && this.#plainLayer(blob);
  }

  async *#plainLayer(blob: Descriptor): AsyncGenerator<Buffer> {
    const name = this.#options.dryLoadName.replace(/(?=:[^:/]+$)/, "/layer"); // a dry load may run at the same time
    for await (const { chunks } of saveBlobs(this.#engine, [blob], name)) {
      yield* decompressLayer(Readable.from(chunks(), { objectMode: false }));
    }
  }

  /** Returns the lowest layers whose blobs pass a dry load. Halves their number after each failure. */
  async #lowestLayers(
    diffIds: readonly Digest[],
    related: readonly RelatedImage[],
    named: readonly Descriptor[] | undefined,
  ): Promise<PresentLayer[]> {
    const candidates = named === undefined ? this.#sharedBlobs(related) : this.#sharedNamedBlobs(named, related);
    for await (const blobs of candidates) {
      for (let count = blobs.length; count > 0; count = Math.floor(count / 2)) {
        const layers = blobs.slice(0, count).map((blob, index) => presentLayer(diffIds[index] ?? "", blob));
        if (await this.#dryLoad(layers)) return layers;
      }
    }
    if ((related[0]?.shared ?? 0) > 0)
      this.#options.onDetail({ code: "blobs-not-found", namedByManifest: named !== undefined });
    return [];
  }

  /** Yields the blobs of the shared lowest layers that the most similar images have. */
  async *#sharedBlobs(related: readonly RelatedImage[]): AsyncGenerator<Descriptor[]> {
    const shared = related[0]?.shared ?? 0;
    if (shared === 0) return;
    for (const { id } of related.filter((image) => image.shared === shared).slice(0, MAX_RELATED)) {
      const blobs = await this.#blobsOf(id);
      if (blobs.length >= shared) yield blobs.slice(0, shared);
    }
  }

  /**
   * Yields the longest prefix of the named blobs that a related image has for the same layers. An image that shares fewer layers may have
   * more of these blobs. The sender's manifest alone is not sufficient evidence that a blob is a layer, because it could name any blob.
   */
  async *#sharedNamedBlobs(
    named: readonly Descriptor[],
    related: readonly RelatedImage[],
  ): AsyncGenerator<Descriptor[]> {
    let longest: Descriptor[] = [];
    for (const { id, shared } of related.slice(0, MAX_RELATED_NAMED)) {
      if (shared <= longest.length) break;
      const blobs = await this.#blobsOf(id);
      const firstOther = named.slice(0, shared).findIndex(({ digest }, index) => blobs[index]?.digest !== digest);
      const same = named.slice(0, firstOther === -1 ? shared : firstOther);
      if (same.length > longest.length) longest = same;
    }
    if (longest.length > 0) yield longest;
  }

  /** Returns layers above the lowest layers whose blobs are present. A layer that occurs twice may also be one of the lowest layers. */
  async #otherLayers(
    diffIds: readonly Digest[],
    lowest: readonly PresentLayer[],
    related: readonly RelatedImage[],
    named: readonly Descriptor[] | undefined,
  ): Promise<PresentLayer[]> {
    const above = new Set(diffIds.slice(lowest.length));
    const found = new Map(lowest.filter(({ diffId }) => above.has(diffId)).map((layer) => [layer.diffId, layer]));
    const missing = new Set([...above].filter((diffId) => !found.has(diffId)));
    const countMissing = (image: RelatedImage): number => image.diffIds.filter((diffId) => missing.has(diffId)).length;
    const images = related
      .filter((image) => countMissing(image) > 0)
      .toSorted((a, b) => countMissing(b) - countMissing(a));
    for (const image of images.slice(0, MAX_RELATED)) {
      if (countMissing(image) === 0) continue;
      for (const layer of await this.#layersOf(image, missing)) {
        const position = diffIds.indexOf(layer.diffId);
        if (named !== undefined && named[position]?.digest !== layer.blob?.digest) continue;
        found.set(layer.diffId, layer);
        missing.delete(layer.diffId);
      }
    }
    return [...found.values()];
  }

  /** Returns the layers of an image that are in `diffIds`, if a dry load of the image's lowest layers up to them succeeds. */
  async #layersOf(image: RelatedImage, diffIds: ReadonlySet<Digest>): Promise<PresentLayer[]> {
    const blobs = await this.#blobsOf(image.id);
    if (blobs.length !== image.diffIds.length) return [];
    const layers = image.diffIds
      .slice(0, image.diffIds.findLastIndex((diffId) => diffIds.has(diffId)) + 1)
      .map((diffId, index) => presentLayer(diffId, blobs[index] as Descriptor));
    return (await this.#dryLoad(layers)) ? layers.filter(({ diffId }) => diffIds.has(diffId)) : [];
  }

  /** Returns the blobs of an image of the engine, bottom first. */
  async #blobsOf(id: string): Promise<readonly Descriptor[]> {
    const { platform, dryLoadName } = this.#options;
    return (
      (await this.#options.blobsOf(id)) ??
      (await readManifest(this.#engine, { id, platform }, dryLoadName))?.layers ??
      []
    );
  }

  /**
   * Performs a dry load of these layers, and returns whether the store has the image. No call of the API reports that directly: with
   * `?platform=` (API 1.48) the load of an incomplete image fails, 26.1 does not list the image, and other engines list it without the size
   * of missing blobs.
   */
  async #dryLoad(layers: PresentLayer[]): Promise<boolean> {
    const engine = this.#engine;
    const { platform, dryLoadName: name } = this.#options;
    const config = layersOnlyConfig(
      platform,
      layers.map(({ diffId }) => diffId),
    );
    const manifest = composeManifest(config, layers);
    try {
      await engine.loadImage(writeOciArchive({ config, manifest, blobs: [], names: [name] }), platform);
      await refuseIncomplete(engine, { config, layers, name });
      return true;
    } catch (error) {
      if (error instanceof EngineError) return false;
      throw error;
    } finally {
      await forgetName(engine, name);
    }
  }
}

function presentLayer(diffId: Digest, blob: Descriptor): PresentLayer {
  return { kind: "present", diffId, blob };
}
