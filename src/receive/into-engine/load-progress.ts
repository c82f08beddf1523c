import type { EngineProgress } from "../../engine/engine-images.ts";
import { shortOf, type Digest } from "../../image/digest.ts";
import type { Progress } from "../../output/output.ts";

/** The status of a layer that a graph driver unpacks. A containerd store and Podman report none. */
const UNPACKING = "Loading layer";

/**
 * Sums the progress that an engine reports for the layers that it unpacks. It counts bytes of a layer's file in the archive, packed or not.
 */
export class LoadProgress {
  readonly #report: (progress: Progress) => void;
  /** By the ID that the engine gives them. */
  readonly #layers = new Map<string, { size: number; current: number }>();
  /** Some layers are loaded while others arrive. The progress of those that arrive is shown until the last has arrived. */
  #haveArrived = false;
  #isReported = false;

  constructor(report: (progress: Progress) => void) {
    this.#report = report;
  }

  /** Passes on the layers that are sent to the engine, and counts them. */
  async *watch<Layer extends { diffId: Digest; size: number }>(layers: AsyncIterable<Layer>): AsyncGenerator<Layer> {
    for await (const layer of layers) {
      this.#layers.set(shortOf(layer.diffId), { size: layer.size, current: 0 });
      yield layer;
    }
  }

  /** All layers have arrived, so from now on the progress is that of the load. */
  begin(): void {
    this.#haveArrived = true;
    this.#report(this.progress);
  }

  /** Adds one line of the engine's progress. */
  add({ id, status, current }: EngineProgress): void {
    const layer = this.#layers.get(id ?? "");
    if (status !== UNPACKING || layer === undefined || current === undefined) return;
    this.#isReported = true;
    layer.current = Math.min(current, layer.size);
    if (this.#haveArrived) this.#report(this.progress);
  }

  get progress(): Progress {
    if (!this.#isReported) return { stage: "loading", current: 0 };
    const layers = [...this.#layers.values()];
    const sum = (pick: "size" | "current"): number => layers.reduce((all, layer) => all + layer[pick], 0);
    const done = layers.filter(({ size, current }) => current === size).length;
    return {
      stage: "loading",
      current: sum("current"),
      total: sum("size"),
      layers: { done, total: layers.length },
      perLayer: [...this.#layers]
        .filter(([, { size, current }]) => current > 0 && current < size)
        .map(([id, { size, current }]) => ({ id, current, total: size })),
    };
  }
}
