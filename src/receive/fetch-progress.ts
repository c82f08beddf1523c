import type { AnnouncedLayer } from "../conversation/messages.ts";
import { shortOf, type Digest } from "../image/digest.ts";
import type { Progress } from "../output/output.ts";

/** ms between two reports. */
const REPORT_EVERY = 50;

interface Layer {
  /** Bytes of the blob as it was announced: what it takes to send it whole */
  size: number;
  /** Bytes of `size` that are done, received or saved */
  current: number;
  saved: number;
  isByDelta: boolean;
  isDone: boolean;
}

/**
 * Sums the progress of the wanted layers. A layer counts with its size as announced. One that is sent by delta counts as done to the share
 * of its pieces that is there, whether they were found in delta bases, which is saved, or received.
 */
export class FetchProgress {
  readonly #wanted: number;
  readonly #report: (progress: Progress) => void;
  readonly #now: () => number;
  readonly #layers = new Map<Digest, Layer>();
  #reportedAt = -Infinity;

  /** @param wanted the count of layers */
  constructor(wanted: number, report: (progress: Progress) => void, now: () => number = () => performance.now()) {
    this.#wanted = wanted;
    this.#report = report;
    this.#now = now;
  }

  announce({ diffId, size }: Pick<AnnouncedLayer, "diffId" | "size">): void {
    this.#layers.set(diffId, { size, current: 0, saved: 0, isByDelta: false, isDone: false });
  }

  /** The layer is sent whole, after bytes that are there already: also after it could not be rebuilt, or from its beginning again. */
  startWhole(layer: Pick<AnnouncedLayer, "diffId" | "size">, bytesPresent: number): void {
    this.announce(layer);
    this.receive(layer.diffId, bytesPresent);
  }

  /** Bytes of a layer that is sent whole. */
  receive(diffId: Digest, bytes: number): void {
    const layer = this.#layers.get(diffId);
    // A server may send what is there already, and a blob that still grows may become larger than was announced.
    if (layer !== undefined && !layer.isByDelta) layer.current = Math.min(layer.size, layer.current + bytes);
    this.#reportSometimes();
  }

  /** Plain bytes of a layer's pieces that were found in delta bases, of all. */
  find(diffId: Digest, found: number, all: number): void {
    const layer = this.#layers.get(diffId);
    if (layer === undefined) return;
    const saved = Math.floor((layer.size * found) / Math.max(all, 1));
    Object.assign(layer, { saved, current: saved, isByDelta: true });
    this.#reportSometimes();
  }

  /** Plain bytes of pieces were received, of `all` of the layer's pieces. */
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

  /** A chunk has few bytes, and comes thousands of times a second. */
  #reportSometimes(): void {
    if (this.#now() - this.#reportedAt >= REPORT_EVERY) this.#reportNow();
  }

  #reportNow(): void {
    this.#reportedAt = this.#now();
    this.#report(this.progress);
  }
}
