import { addAbortSignal, type Readable } from "node:stream";
import type { Digest } from "../image/digest.ts";
import type { LayerDelta, StoredBlob } from "../registry/embedded/pull/registry-content.ts";
import { deferred } from "../streams/deferred.ts";
import type { CutFiles, LayerCutter } from "./layer-cutter.ts";

export interface CutOnDemandOptions {
  cutter: LayerCutter;
  diffId: Digest;
  /** Opens the layer's tar. Called at most once. The stream is destroyed when it is no longer needed. */
  plain: () => Readable | Promise<Readable>;
  /**
   * The layer is cut for one receiver, which can also fetch it whole as stored. When the receiver stops reading the recipe, the cut ends.
   */
  endsWithReader: boolean;
  /** Receives the error if the files for the cut cannot be created. The layer is then served as if its recipe had not been requested. */
  onNoFiles: (error: unknown) => void;
  /** Receives the error if the cut fails, unless it was ended on purpose. */
  onFailure: (error: unknown) => void;
}

/** A layer that is cut when the receiver requests its recipe. Dispose of it before the cutter's spool. */
export class CutOnDemand implements AsyncDisposable {
  readonly #options: CutOnDemandOptions;
  readonly #stop = new AbortController();
  #pieces: Promise<LayerDelta | undefined> | undefined;
  #whole: Promise<StoredBlob> | undefined;

  constructor(options: CutOnDemandOptions) {
    this.#options = options;
  }

  /**
   * Returns the recipe and the pieces, and begins the cut on the first call. Returns undefined, without calling `plain`, if the layer
   * cannot be cut. Rejects with an error of the cut that occurs before any data can be read.
   */
  async pieces(): Promise<LayerDelta | undefined> {
    const cut = await (this.#pieces ??= this.#begin());
    return cut && { ...cut, recipe: () => this.#watched(cut.recipe()) };
  }

  async #begin(): Promise<LayerDelta | undefined> {
    const { plain, onFailure, cutter } = this.#options;
    const files = await this.#createFiles();
    if (files === undefined) return undefined;
    const begun = deferred<LayerDelta>();
    const openPlain = async (): Promise<Readable> => addAbortSignal(this.#stop.signal, await plain());
    const whole = cutter.cut(files, openPlain, begun.resolve);
    this.#whole = whole;
    whole.catch((error: unknown) => {
      begun.reject(error);
      if (!this.#stop.signal.aborted) onFailure(error);
    });
    return await begun.promise;
  }

  async #createFiles(): Promise<CutFiles | undefined> {
    const { cutter, diffId, onNoFiles } = this.#options;
    try {
      return await cutter.createFiles(diffId);
    } catch (error) {
      if (!this.#stop.signal.aborted) onNoFiles(error);
      return undefined;
    }
  }

  /** Ends the cut when the receiver stops reading the recipe early, because the receiver then fetches the layer whole. */
  #watched(recipe: Readable): Readable {
    if (!this.#options.endsWithReader) return recipe;
    return recipe.once("close", () => {
      if (!recipe.readableEnded) this.#stop.abort(new Error("the receiver fetches the layer whole"));
    });
  }

  /** The plain tar as a blob; undefined before the cut has begun. The promise resolves when the whole layer is cut. */
  get whole(): Promise<StoredBlob> | undefined {
    return this.#whole;
  }

  /** Resolves when no cut is in progress. Rejects with the error of the cut. */
  async done(): Promise<void> {
    await this.#whole;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the layer is no longer sent"));
    await this.#pieces?.catch(() => {});
    await this.#whole?.catch(() => {});
  }
}
