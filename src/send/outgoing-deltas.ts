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
import { NoRoom } from "../run/no-space-failure.ts";
import type { LazySpool } from "../run/spool.ts";
import { layerFailure } from "../store/layer-failure.ts";

export interface OutgoingDeltasOptions {
  /** For the files of layers that are cut. Left out: no layer is sent by delta. */
  spool?: LazySpool | undefined;
  packer: PacedPacker;
  /** Called once, when there is no room for files: from then on no more layers are cut. */
  onNoSpace?: ((reason: NoRoomReason) => void) | undefined;
  /** Called with the error of cutting a layer whose blob stays readable. */
  onFailure?: ((error: unknown) => void) | undefined;
  /**
   * Several receivers get the same layers: the cut goes on when one of them stops reading a recipe. `name` distinguishes the files from those
   * for receivers with another codec.
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
  /** Undefined when no layer, or none any more, is cut. */
  #cutter: LayerCutter | undefined;
  #hasReportedNoSpace = false;
  readonly #cuts = new Map<Digest, CutOnDemand>();
  /** Layers whose blob cannot be read any more when they are cut. */
  readonly #consumed = new Set<Digest>();

  constructor(options: OutgoingDeltasOptions) {
    this.#options = options;
    this.#cutter = options.spool && new LayerCutter(options.spool, options.packer, options.shared?.name);
  }

  /** Whether a layer, as it is stored, is cut where there is room for the files. */
  isCuttable(layer: Descriptor): boolean {
    return this.#cutter !== undefined && this.reasonAgainst(layer) === undefined;
  }

  /** Whether there is room for the files. */
  async hasRoom(): Promise<boolean> {
    try {
      await this.#cutter?.openSpool();
      return true;
    } catch (error) {
      return this.continueWithoutSpool(error);
    }
  }

  /** Returns why a layer, as it is stored, is not cut where others are; undefined when it is, or when no layer is. */
  reasonAgainst({ size, mediaType }: Descriptor): NotCutReason | undefined {
    if (this.#cutter === undefined) return undefined;
    if (mediaType.endsWith("zstd") && !hasZstd) return "zstd";
    return this.#cutter.isWorthCutting(size) ? undefined : "small";
  }

  /** Lets receivers request a layer's recipe. Returns false when layers are not cut any more. */
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
      // The export of a blob that is consumed rejects with it.
      onFailure: leavesBlob ? (error) => this.#reportFailure(error) : () => {},
    });
    this.#cuts.set(diffId, cut);
    return true;
  }

  /** Begins to cut a layer, the first time. Returns undefined when the layer cannot be cut. */
  async get(diffId: Digest): Promise<LayerDelta | undefined> {
    return await this.#cuts.get(diffId)?.pieces();
  }

  /**
   * Returns a layer's plain tar as a blob, which is whole when all of it has been cut; undefined before the cut has begun.
   * `replacesBlob`: only of a layer whose blob the cut consumes.
   */
  plain(diffId: Digest, { replacesBlob = false } = {}): Promise<StoredBlob> | undefined {
    return replacesBlob && !this.#consumed.has(diffId) ? undefined : this.#cuts.get(diffId)?.whole;
  }

  /** Resolves when a layer is not being cut. Rejects with the error of cutting it. */
  async done(diffId: Digest): Promise<void> {
    await this.#cuts.get(diffId)?.done();
  }

  /** Stops cutting layers when the error tells that there is no room for files, and reports that once. Throws any other error. */
  continueWithoutSpool(error: unknown): false {
    const failure = layerFailure(error, "sent");
    if (!(failure instanceof Failure && failure.code === "no-space")) throw error;
    this.#cutter = undefined;
    const reason: NoRoomReason = failure instanceof NoRoom ? failure.reason : { code: "disk-full" };
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

  /** Resolves when no layer is being cut. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const cut of this.#cuts.values()) await cut[Symbol.asyncDispose]();
  }
}
