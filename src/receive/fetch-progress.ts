import type { AnnouncedLayer } from "../conversation/messages.ts";
import { shortOf, type Digest } from "../image/digest.ts";
import type { Progress } from "../output/output.ts";

/** ms between two reports. */
const REPORT_EVERY = 50;

interface Layer {
  /** The announced bytes of the blob: the cost of sending it whole */
  size: number;
  /** The bytes of `size` that are complete, received or saved */
  current: number;
  saved: number;
  isByDelta: boolean;
  isDone: boolean;
}

/**
 * Sums the progress of the wanted layers. A layer counts with its announced size. The progress of a layer by delta is the share of its
 * pieces that are present: either found in delta bases, which counts as saved, or received.
 */
export class FetchProgress {
  readonly #wanted: number;
  readonly #report: (progress: Progress) => void;
  readonly #now: () => number;
  readonly #layers = new Map<Digest, Layer>();
  #reportedAt = -Infinity;

  /** @param wanted the number of layers */
  constructor(wanted: number, report: (progress: Progress) => void, now: () => number = () => performance.now()) {
    this.#wanted = wanted;
    this.#report = report;
    this.#now = now;
  }

  announce({ diffId, size }: Pick<AnnouncedLayer, "diffId" | "size">): void {
    this.#layers.set(diffId, { size, current: 0, saved: 0, isByDelta: false, isDone: false });
  }

  /**
   * The layer is sent whole, after the bytes that are already present. Also called after a failed rebuild, and for a restart from the
   * beginning.
   */
  startWhole(layer: Pick<AnnouncedLayer, "diffId" | "size">, bytesPresent: number): void {
    this.announce(layer);
    this.receive(layer.diffId, bytesPresent);
  }

  /** Bytes of a layer that is sent whole have arrived. */
  receive(diffId: Digest, bytes: number): void {
    const layer = this.#layers.get(diffId);
    // A server may send bytes that are already present, and a growing blob may become larger than announced.
    if (layer !== undefined && !layer.isByDelta) layer.current = Math.min(layer.size, layer.current + bytes);
    this.#reportSometimes();
  }

  /** `found` plain bytes of a layer's pieces were found in delta bases, out of `all`. */
  find(diffId: Digest, found: number, all: number): void {
    const layer = this.#layers.get(diffId);
    if (layer === undefined) return;
    const saved = Math.floor((layer.size * found) / Math.max(all, 1));
    Object.assign(layer, { saved, current: saved, isByDelta: true });
    this.#reportSometimes();
  }

  /** `bytes` plain bytes of pieces were received, out of `all` bytes of the layer's pieces. */
  receivePieces(diffId: Digest, bytes: number, all: number): void {
    const layer = this.#layers.get(diffId);
    if (layer === undefined) return;
    layer.current = Math.min(layer.size, layer.current + (layer.size * bytes) / Math.max(all, 1));
    this.#reportSometimes();
  }

  finish(diffId: Digest): void {
    const layer = this.#layers.get(diffId);
    if (layer !== undefined) Object.assign(layer, { current: layer.size, isDone: true });
    this.#reportNow();
  }

  get progress(): Progress {
    const layers = [...this.#layers.values()];
    const sum = (pick: "size" | "current" | "saved"): number => layers.reduce((all, layer) => all + layer[pick], 0);
    const saved = sum("saved");
    const inWork = [...this.#layers].filter(([, { current, isDone }]) => current > 0 && !isDone);
    return {
      stage: "sending",
      current: Math.floor(sum("current")),
      ...(layers.length > 0 && { total: sum("size") }),
      ...(layers.length < this.#wanted && { isEstimated: true }),
      ...(saved > 0 && { saved }),
      layers: { done: layers.filter(({ isDone }) => isDone).length, total: this.#wanted },
      perLayer: inWork.map(([diffId, { current, size, isByDelta }]) => ({
        id: shortOf(diffId),
        current: Math.floor(current),
        total: size,
        ...(isByDelta && { isByDelta }),
      })),
    };
  }

  /** Limits the reports: chunks are small, and thousands arrive a second. */
  #reportSometimes(): void {
    if (this.#now() - this.#reportedAt >= REPORT_EVERY) this.#reportNow();
  }

  #reportNow(): void {
    this.#reportedAt = this.#now();
    this.#report(this.progress);
  }
}
