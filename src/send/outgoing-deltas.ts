import type { Readable } from "node:stream";
import type { Cutting } from "../conversation/messages.ts";
import { hasZstd } from "../image/layer/zstd-frames.ts";
import type { Digest } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { NotCutReason } from "../output/details.ts";
import { Failure } from "../output/errors.ts";
import type { NoRoomReason } from "../output/reasons.ts";
import type { PacedPacker } from "../packing/paced-packer.ts";
import { CutOnDemand } from "../rebuild/cut-on-demand.ts";
import { LayerCutter } from "../rebuild/layer-cutter.ts";
import type { LayerDelta, StoredBlob } from "../registry/embedded/pull/registry-content.ts";
import { NoSpaceFailure } from "../run/no-space-failure.ts";
import type { LazySpool } from "../run/spool.ts";
import { layerFailure } from "../store/layer-failure.ts";

export interface OutgoingDeltasOptions {
  /** For the files of layers that are cut. If undefined, no layer is sent by delta. */
  spool?: LazySpool | undefined;
  packer: PacedPacker;
  /** Called once if there is no space for files. From then on, no more layers are cut. */
  onNoSpace?: ((reason: NoRoomReason) => void) | undefined;
  /** Called with the error of cutting a layer whose blob stays readable. */
  onFailure?: ((error: unknown) => void) | undefined;
  /**
   * Set if several receivers get the same layers: the cut then continues when one of them stops reading a recipe. `name` distinguishes the
   * files from those for receivers with another codec.
   */
  shared?: { name: string };
}

/** How a layer can be cut. */
export interface CuttableLayer {
  cutting: Cutting;
  /** Opens the layer's tar; called at most once. */
  openPlain: () => Readable | Promise<Readable>;
}

/** The outgoing layers that can also be sent by delta. Each is cut when the receiver requests its recipe. */
export class OutgoingDeltas implements AsyncDisposable {
  readonly #options: OutgoingDeltasOptions;
  /** Undefined if no layer, or no further layer, is cut. */
  #cutter: LayerCutter | undefined;
  #hasReportedNoSpace = false;
  readonly #cuts = new Map<Digest, CutOnDemand>();
  /** Layers whose blob can no longer be read when they are cut. */
  readonly #consumed = new Set<Digest>();

  constructor(options: OutgoingDeltasOptions) {
    this.#options = options;
    this.#cutter = options.spool && new LayerCutter(options.spool, options.packer, options.shared?.name);
  }

  /** Returns whether a layer, as stored, is cut if there is space for the files. */
  isCuttable(layer: Descriptor): boolean {
    return this.#cutter !== undefined && this.reasonAgainst(layer) === undefined;
  }

  /** Returns whether there is space for the files. */
  async hasRoom(): Promise<boolean> {
    try {
      await this.#cutter?.openSpool();
      return true;
    } catch (error) {
      return this.continueWithoutSpool(error);
    }
  }

  /** Returns the reason why a layer, as stored, is not cut although others are; undefined if it is cut, or if no layer is. */
  reasonAgainst({ size, mediaType }: Descriptor): NotCutReason | undefined {
    if (this.#cutter === undefined) return undefined;
    if (mediaType.endsWith("zstd") && !hasZstd) return "zstd";
    return this.#cutter.isWorthCutting(size) ? undefined : "small";
  }

  /** Lets receivers request a layer's recipe. Returns false if layers are no longer cut. */
  add(diffId: Digest, { cutting, openPlain }: CuttableLayer): boolean {
    if (this.#cuts.has(diffId)) return true;
    if (this.#cutter === undefined) return false;
    const leavesBlob = cutting === "leaves-blob";
    if (!leavesBlob) this.#consumed.add(diffId);
    const cut = new CutOnDemand({
      cutter: this.#cutter,
      diffId,
      plain: openPlain,
      endsWithReader: leavesBlob && this.#options.shared === undefined,
      onNoFiles: (error) => this.#reportFailure(error),
      // The export of a consumed blob rejects with the error.
      onFailure: leavesBlob ? (error) => this.#reportFailure(error) : () => {},
    });
    this.#cuts.set(diffId, cut);
    return true;
  }

  /** Begins to cut a layer on the first call. Returns undefined if the layer cannot be cut. */
  async get(diffId: Digest): Promise<LayerDelta | undefined> {
    return await this.#cuts.get(diffId)?.pieces();
  }

  /**
   * Returns a layer's plain tar as a blob, which is complete when the whole layer has been cut; undefined before the cut has begun.
   * `replacesBlob`: only for a layer whose blob the cut consumes.
   */
  plain(diffId: Digest, { replacesBlob = false } = {}): Promise<StoredBlob> | undefined {
    return replacesBlob && !this.#consumed.has(diffId) ? undefined : this.#cuts.get(diffId)?.whole;
  }

  /** Resolves when no cut of the layer is in progress. Rejects with the error of the cut. */
  async done(diffId: Digest): Promise<void> {
    await this.#cuts.get(diffId)?.done();
  }

  /** Stops cutting layers if the error means that there is no space for files, and reports that once. Throws any other error. */
  continueWithoutSpool(error: unknown): false {
    const failure = layerFailure(error, "sent");
    if (!(failure instanceof Failure && failure.code === "no-space")) throw error;
    this.#cutter = undefined;
    const reason: NoRoomReason = failure instanceof NoSpaceFailure ? failure.reason : { code: "disk-full" };
    if (!this.#hasReportedNoSpace) this.#options.onNoSpace?.(reason);
    this.#hasReportedNoSpace = true;
    return false;
  }

  #reportFailure(error: unknown): void {
    try {
      this.continueWithoutSpool(error);
    } catch (failure) {
      this.#options.onFailure?.(failure);
    }
  }

  /** Resolves when no cut is in progress. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const cut of this.#cuts.values()) await cut[Symbol.asyncDispose]();
  }
}
