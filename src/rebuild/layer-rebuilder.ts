import type { AnnouncedLayer } from "../conversation/messages.ts";
import { InvalidRecipe, TruncatedRecipe } from "../delta/recipe-errors.ts";
import type { Digest } from "../image/digest.ts";
import { SizeLimitExceeded, type SizeLimit } from "../image/layer/size-limit.ts";
import { MEDIA_TYPE } from "../image/manifest.ts";
import { messageOf } from "../output/errors.ts";
import type { RegistryClient } from "../registry/registry-client.ts";
import { NoRecipe } from "../registry/registry-client-errors.ts";
import type { ResumeCache } from "../store/resume-cache.ts";
import type { LazySpool } from "../run/spool.ts";
import type { LayerFile } from "../store/store.ts";
import { DeltaBaseReader } from "./delta-base-reader.ts";
import type { DeltaBases } from "./delta-bases.ts";
import type { DeltaChoice } from "./delta-choice.ts";
import { RebuiltLayers } from "./rebuilt-layers.ts";
import { fallbackReason, isSenderFault } from "./fallback-reason.ts";
import {
  canUnpack,
  isAvailableAsStored,
  rebuildInFile,
  type RebuildOptions,
  type RebuiltLayer,
} from "./rebuild-in-file.ts";
import { openRebuiltFile, type RebuiltFile } from "./rebuilt-file.ts";

export interface LayerRebuilderOptions extends RebuildOptions {
  client: RebuildOptions["client"] & Pick<RegistryClient, "sizeOf">;
  /** Chooses the layers that are rebuilt. */
  choice: Pick<DeltaChoice, "isByDelta" | "watch" | "stop">;
  deltaBases: DeltaBases;
  spool: Pick<LazySpool, "open">;
  /** Stores a partial rebuild for the next run. If undefined, it is not stored. */
  resumeCache: ResumeCache | undefined;
  limit: SizeLimit;
}

/**
 * Rebuilds layers from delta bases and the pieces that they lack (delta/), one at a time, in the order in which they are announced. The
 * sender cuts a layer when its recipe is requested, and the receiver rebuilds it at the same time. Dispose of the rebuilder before the
 * delta bases and the spool.
 */
export class LayerRebuilder implements AsyncDisposable {
  readonly #options: LayerRebuilderOptions;
  /** By diff ID. Resolves to undefined for a layer that is sent whole. */
  readonly #layers = new Map<Digest, Promise<RebuiltLayer | undefined>>();
  #last: Promise<unknown> = Promise.resolve();
  /** The files of rebuilt layers, in order. They stay in the spool: a later layer may contain the same files with another owner. */
  readonly #files = new Map<Digest, RebuiltFile>();
  /** Set after an invalid or truncated recipe. No further layer is then rebuilt, so that the sender cannot use more of the disk. */
  #senderFault: "invalid" | "truncated" | undefined;
  readonly #rebuilt = new RebuiltLayers();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #reader: DeltaBaseReader;
  #bytesFound = 0;

  constructor(options: LayerRebuilderOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.#signal.addEventListener("abort", () => options.choice.stop(this.#signal.reason as Error), { once: true });
    this.#reader = new DeltaBaseReader({ ...options, signal: this.#signal });
  }

  /** Plain bytes of the rebuilt layers that were found in delta bases. */
  get bytesFound(): number {
    return this.#bytesFound;
  }

  /** Starts to rebuild each layer when it is announced. */
  async rebuildAll(layers: AsyncIterable<AnnouncedLayer>): Promise<void> {
    for await (const layer of layers) if (!this.#signal.aborted) void this.#begin(layer);
  }

  /**
   * Rebuilds a layer in a file of the spool if delta is chosen for it. Resolves to the verified file. Resolves to the layer to fetch whole
   * if that is chosen, or if the rebuild has failed.
   */
  async rebuild(layer: AnnouncedLayer): Promise<LayerFile | AnnouncedLayer> {
    const { diffId } = layer;
    try {
      const rebuilt = await (this.#layers.get(diffId) ?? this.#begin(layer));
      if (rebuilt === undefined) return layer;
      const { path, size, bytesFound } = rebuilt;
      this.#bytesFound += bytesFound;
      return { kind: "file", diffId, path, size, blob: { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size } };
    } catch (error) {
      const reason = fallbackReason(error);
      if (reason === undefined) throw error;
      await this.#discard(diffId);
      this.#options.onDetail({ code: "rebuild-failed", diffId, reason, error: messageOf(error) });
      return error instanceof NoRecipe ? layer : await this.#wholeLayer(layer);
    }
  }

  /** Returns the layer to fetch whole after its recipe has been requested: as announced, or as its plain tar. */
  async #wholeLayer(layer: AnnouncedLayer): Promise<AnnouncedLayer> {
    const { client, repository } = this.#options;
    if (isAvailableAsStored(layer)) return layer;
    const { diffId } = layer;
    const size = await client.sizeOf(repository, diffId, this.#signal);
    return { diffId, mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size };
  }

  #begin(layer: AnnouncedLayer): Promise<RebuiltLayer | undefined> {
    const rebuilding = this.#last.then(async () => {
      this.#signal.throwIfAborted();
      const isByDelta = !canUnpack(layer.mediaType) || (await this.#options.choice.isByDelta(layer));
      return isByDelta ? await this.#rebuildNow(layer) : undefined;
    });
    this.#layers.set(layer.diffId, rebuilding);
    this.#last = rebuilding.catch(() => {}); // `rebuild` handles it
    return rebuilding;
  }

  async #rebuildNow(layer: AnnouncedLayer): Promise<RebuiltLayer> {
    const { diffId } = layer;
    if (this.#senderFault === "invalid") throw new InvalidRecipe("the recipe of another layer was invalid");
    if (this.#senderFault === "truncated") throw new TruncatedRecipe("the recipe of another layer was truncated");
    const rebuiltPaths = [...this.#files.values()].map(({ path }) => path);
    const file = await openRebuiltFile(diffId, this.#options);
    this.#files.set(diffId, file);
    let pieceBytes = 0;
    const onPieceBytes = (count: number): void => void (pieceBytes += count);
    const sources = { reader: this.#reader, rebuilt: this.#rebuilt, rebuiltPaths, onPieceBytes };
    try {
      return await rebuildInFile(file, layer, sources, { ...this.#options, signal: this.#signal });
    } catch (error) {
      if (isSenderFault(error)) this.#senderFault ??= error instanceof TruncatedRecipe ? "truncated" : "invalid";
      // Without received pieces, a partial rebuild costs nothing to repeat, and would displace files that cost something to fetch.
      const isWorthKeeping =
        !isSenderFault(error) && !(error instanceof SizeLimitExceeded) && file.resumedBytes + pieceBytes > 0;
      if (!isWorthKeeping) await this.#discard(diffId);
      throw error;
    }
  }

  async #discard(diffId: Digest): Promise<void> {
    const file = this.#files.get(diffId);
    this.#files.delete(diffId);
    await file?.discard();
    file?.share.release();
  }

  /** Stops the current rebuild, and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the layers are no longer needed"));
    await this.#last;
  }
}
