import { Readable } from "node:stream";
import { BlobGone, type ContentBlob, type ContentStore } from "../engine/content-store.ts";
import { EngineError } from "../engine/engine-error.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { MAX_CONFIG } from "../image/config.ts";
import type { Digest } from "../image/digest.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { compressionOf, layerMediaType, MAGIC_LENGTH } from "../image/layer/compression.ts";
import { decompressLayer } from "../image/layer/decompress-layer.ts";
import type { Descriptor, Manifest } from "../image/manifest.ts";
import type { ContentQuery, Detail } from "../output/details.ts";
import type { ContainerdBlobs, KnownImage } from "./containerd-blobs.ts";
import type { RelatedImage } from "./related-images.ts";
import type { PresentLayer, PresentLayers } from "./store.ts";

export interface BlobsByContentStoreOptions {
  /** Returns images that share layers with the incoming image. */
  relatedImages: () => Promise<readonly RelatedImage[]>;
  /** Returns the manifest of a related image. */
  manifestOf: (id: string) => Promise<Manifest | undefined>;
  signal: AbortSignal;
  /** For --verbose. */
  onDetail: (detail: Detail) => void;
}

/**
 * Finds blobs in the engine's content store: one request returns the blobs of all layers, whatever images they came with. The first bytes
 * of a blob determine its media type, and show that it is readable. If the answer is unusable, layers count as missing and are sent.
 */
export function blobsByContentStore(
  engine: Pick<EngineImages, "inspectImage">,
  content: ContentStore,
  options: BlobsByContentStoreOptions,
): ContainerdBlobs {
  const queries = new ContentQueries(content, options);
  return {
    async present(diffIds, named) {
      const found = await queries.findLayers(diffIds, named);
      return splitByPosition(diffIds, found);
    },

    async known(config, diffIds) {
      const nothing: KnownImage = {};
      return await queries.orNothing({ about: "image" }, nothing, async () => {
        const blobs = await content.find({ digests: [config], config }, options.signal);
        const manifests = blobs.filter(({ names }) => names.includes(config)).map((blob) => blob.digest);
        for (const manifest of manifests) {
          const image = await engine.inspectImage(manifest);
          if (image?.id === manifest && image.diffIds.join() === diffIds.join()) return { id: manifest };
        }
        const isPresent = blobs.some((blob) => blob.digest === config);
        return { config: isPresent ? await content.readSmall(config, MAX_CONFIG, options.signal) : undefined };
      });
    },

    async layerOf({ diffIds }, index) {
      const [diffId = ""] = diffIds.slice(index);
      const blobs = await queries.orNothing(
        { about: "layer", diffId },
        [],
        async () => await content.find({ diffIds: [diffId] }, options.signal),
      );
      const blob = blobs.find((one) => one.diffId === diffId && isSize(one.size));
      if (blob === undefined) return undefined;
      const stored = content.read(blob.digest, { size: blob.size, signal: options.signal });
      return decompressLayer(Readable.from(stored, { objectMode: false }));
    },
  };
}

/** The maximum number of related images whose manifests are read, at 5 ms each. */
const MAX_MANIFESTS = 16;

class ContentQueries {
  readonly #content: ContentStore;
  readonly #options: BlobsByContentStoreOptions;

  constructor(content: ContentStore, options: BlobsByContentStoreOptions) {
    this.#content = content;
    this.#options = options;
  }

  /** Returns the present layers by diff ID. `named`: the blobs of a manifest to preserve; no other blobs count. */
  async findLayers(
    diffIds: readonly Digest[],
    named: readonly Descriptor[] | undefined,
  ): Promise<Map<Digest, PresentLayer>> {
    const { signal } = this.#options;
    const distinct = new Set(diffIds);
    const blobs = await this.orNothing(
      { about: "layers" },
      [],
      async () =>
        await this.#content.find({ diffIds: [...distinct], digests: named?.map(({ digest }) => digest) ?? [] }, signal),
    );
    const byImages = await this.#confirmByImages(unlabelledBlobs(blobs, diffIds, named));
    const found = new Map<Digest, PresentLayer>();
    await Promise.all(
      [...distinct].map(async (diffId) => {
        const fits = (blob: ContentBlob): boolean =>
          blob.diffId === diffId && (named === undefined || named[diffIds.indexOf(diffId)]?.digest === blob.digest);
        const blob = blobs.find(fits) ?? byImages.get(diffId);
        const descriptor = blob && (await this.#describe(blob, diffId));
        if (descriptor !== undefined) found.set(diffId, { kind: "present", diffId, blob: descriptor });
      }),
    );
    return found;
  }

  /**
   * Returns the unlabelled blobs that an image of the engine has for the same layer. The sender's manifest is not sufficient evidence,
   * because it could name any blob.
   */
  async #confirmByImages(blobs: ReadonlyMap<Digest, ContentBlob>): Promise<Map<Digest, ContentBlob>> {
    const confirmed = new Map<Digest, ContentBlob>();
    if (blobs.size === 0) return confirmed;
    const { relatedImages, manifestOf } = this.#options;
    const images = (await relatedImages()).filter((image) => image.diffIds.some((diffId) => blobs.has(diffId)));
    for (const { id, diffIds } of images.slice(0, MAX_MANIFESTS)) {
      if (confirmed.size === blobs.size) break;
      const manifest = await this.orNothing({ about: "manifest" }, undefined, () => manifestOf(id));
      const { layers = [] } = manifest ?? {};
      for (const [index, diffId] of diffIds.entries()) {
        const blob = blobs.get(diffId);
        if (blob !== undefined && layers.length === diffIds.length && layers[index]?.digest === blob.digest)
          confirmed.set(diffId, blob);
      }
    }
    return confirmed;
  }

  async #describe({ digest, size }: ContentBlob, diffId: Digest): Promise<Descriptor | undefined> {
    if (!isSize(size)) return undefined;
    const { signal } = this.#options;
    return await this.orNothing({ about: "blob", digest }, undefined, async () => {
      const start: Buffer[] = [];
      const length = Math.min(MAGIC_LENGTH, size);
      for await (const chunk of this.#content.read(digest, { size, length, signal })) start.push(chunk);
      const isPlain = digest === diffId;
      return { mediaType: layerMediaType(isPlain ? "none" : compressionOf(Buffer.concat(start))), digest, size };
    });
  }

  /** Runs a query. Returns `nothing` if the engine reports an error. */
  async orNothing<T>(query: ContentQuery, nothing: T, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof EngineError || error instanceof BlobGone || error instanceof InvalidImage)) throw error;
      this.#options.onDetail({ code: "content-query-failed", query, error: error.message });
      return nothing;
    }
  }
}

/**
 * Returns the named blobs, by diff ID, that have no label with a diff ID. A store labels a blob when it unpacks it, but it does not unpack
 * a blob whose layer it already had as another blob.
 */
function unlabelledBlobs(
  blobs: readonly ContentBlob[],
  diffIds: readonly Digest[],
  named: readonly Descriptor[] | undefined,
): Map<Digest, ContentBlob> {
  const unlabelled = new Map<Digest, ContentBlob>();
  for (const [index, { digest }] of named?.entries() ?? []) {
    const blob = blobs.find((one) => one.digest === digest && one.diffId === undefined);
    if (blob !== undefined) unlabelled.set(diffIds[index] ?? "", blob);
  }
  return unlabelled;
}

function splitByPosition(diffIds: readonly Digest[], found: ReadonlyMap<Digest, PresentLayer>): PresentLayers {
  const firstMissing = diffIds.findIndex((diffId) => !found.has(diffId));
  const count = firstMissing === -1 ? diffIds.length : firstMissing;
  const lowest = diffIds.slice(0, count).flatMap((diffId) => found.get(diffId) ?? []);
  const above = new Set(diffIds.slice(count));
  return { lowest, others: [...above].flatMap((diffId) => found.get(diffId) ?? []) };
}

/** Returns whether a listed size is valid for a layer, which is never empty. */
function isSize(size: number): boolean {
  return Number.isSafeInteger(size) && size > 0;
}
