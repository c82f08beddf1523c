import { addAbortSignal, type Readable } from "node:stream";
import type { Digest } from "../image/digest.ts";
import type { LayerDelta, StoredBlob } from "../registry/embedded/registry-content.ts";
import { deferred } from "../streams/deferred.ts";
import type { CutFiles, LayerCutter } from "./layer-cutter.ts";

export interface CutOnDemandOptions {
  cutter: LayerCutter;
  diffId: Digest;
  /** The layer's tar. Called once, when it is begun; the stream is destroyed when nobody wants it any more. */
  plain: () => Readable | Promise<Readable>;
  /** The layer can be had in another way, too: who leaves before the recipe's end wants it so, and nothing more is cut. */
  stays: boolean;
  /** Is given the plain tar when the layer is begun; it resolves when all of it has been cut. */
  onBegun: (whole: Promise<StoredBlob>) => void;
  /** Hears why there can be no files to cut it into: it is to be had as if it had never been asked for in pieces. */
  onNoFiles: (error: unknown) => void;
  /** Hears what cutting failed with, but for being left. */
  onFailure: (error: unknown) => void;
}

/** A layer that is cut into pieces when somebody asks for them, and not before. Dispose of it before the cutter's spool. */
export class CutOnDemand implements AsyncDisposable {
  readonly #options: CutOnDemandOptions;
  readonly #leaving = new AbortController();
  #pieces: Promise<LayerDelta | undefined> | undefined;
  #whole: Promise<StoredBlob> | undefined;

  constructor(options: CutOnDemandOptions) {
    this.#options = options;
  }

  /**
   * Begins, the first time. Undefined: it cannot be cut, and `plain` has not been called. Rejects with what cutting fails with before
   * there is anything to read.
   */
  async pieces(): Promise<LayerDelta | undefined> {
    const cut = await (this.#pieces ??= this.#begin());
    return cut && { ...cut, recipe: () => this.#watched(cut.recipe()) };
  }

  async #begin(): Promise<LayerDelta | undefined> {
    const { plain, onBegun, onFailure, cutter } = this.#options;
    const files = await this.#files();
    if (files === undefined) return undefined;
    const begun = deferred<LayerDelta>();
    const read = async (): Promise<Readable> => addAbortSignal(this.#leaving.signal, await plain());
    const whole = cutter.cut(files, read, begun.resolve);
    this.#whole = whole;
    whole.catch((error: unknown) => {
      begun.reject(error);
      if (!this.#leaving.signal.aborted) onFailure(error);
    });
    onBegun(whole);
    return await begun.promise;
  }

  async #files(): Promise<CutFiles | undefined> {
    const { cutter, diffId, onNoFiles } = this.#options;
    try {
      return await cutter.makeFiles(diffId);
    } catch (error) {
      if (!this.#leaving.signal.aborted) onNoFiles(error);
      return undefined;
    }
  }

  #watched(recipe: Readable): Readable {
    if (!this.#options.stays) return recipe;
    return recipe.once("close", () => {
      if (!recipe.readableEnded) this.#leaving.abort(new Error("the receiver wants the layer whole"));
    });
  }

  /** Resolves when nothing is being cut. Rejects with what that failed with. */
  async done(): Promise<void> {
    await this.#whole;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leaving.abort(new Error("the layer is not being sent any more"));
    await this.#pieces?.catch(() => {});
    await this.#whole?.catch(() => {});
  }
}
