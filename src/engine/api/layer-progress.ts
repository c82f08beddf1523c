import { SHORT_DIGEST } from "../../image/digest.ts";
import type { Stage } from "../../output/events.ts";
import type { Progress } from "../../output/output.ts";
import type { EngineProgress } from "../engine-images.ts";

interface Layer {
  present: boolean;
  done: boolean;
  current: number;
  total: number;
}

/** Statuses of a layer that the receiver of a push or pull already has. */
const PRESENT = /^(?:Already exists|Layer already exists|Mounted from )/;
const DONE = /^(?:Pushed|Pull complete|Download complete)/;
/** Statuses that count transferred bytes; `Extracting` counts other bytes. */
const MOVING = /^(?:Pushing|Downloading)/;

/** The first statuses of a missing layer. A containerd store reports no other layers. */
const ANNOUNCED = /^(?:Pulling fs layer|Waiting|Preparing)/;

/** Sums an engine's progress lines by layer. Memory is bounded: an image has at most 127 layers on most stores. */
export class LayerProgress {
  readonly #layers = new Map<string, Layer>();
  readonly #stage: Stage;
  /** Known sizes in bytes, by layer ID. */
  readonly #sizes: ReadonlyMap<string, number>;

  constructor(stage: Stage, sizes: ReadonlyMap<string, number> = new Map()) {
    this.#stage = stage;
    this.#sizes = sizes;
  }

  /** Adds one line. Returns true for progress of a layer, false for the announcement of a layer and for other lines. */
  add({ id, status, current, total }: EngineProgress): boolean {
    if (id === undefined || !SHORT_DIGEST.test(id)) return false; // for instance a tag
    const layer = this.#layers.get(id) ?? { present: false, done: false, current: 0, total: this.#sizes.get(id) ?? 0 };
    this.#layers.set(id, layer);
    if (PRESENT.test(status)) Object.assign(layer, { present: true, done: true });
    if (MOVING.test(status) && current !== undefined) {
      // The count of a layer of a few bytes includes padding, which its size does not.
      Object.assign(layer, { current, total: Math.max(total ?? layer.total, current) });
    }
    if (DONE.test(status)) Object.assign(layer, { done: true, current: layer.total });
    return !ANNOUNCED.test(status);
  }

  /** The IDs of the transferred layers. The receiver already has all others. */
  get moved(): string[] {
    return [...this.#layers].filter(([, layer]) => !layer.present).map(([id]) => id);
  }

  get progress(): Progress {
    const missing = [...this.#layers.values()].filter(({ present }) => !present);
    const sum = (pick: "current" | "total"): number => missing.reduce((all, layer) => all + layer[pick], 0);
    const done = missing.filter((layer) => layer.done).length;
    const inWork = [...this.#layers].filter(([, layer]) => !layer.done && layer.current > 0);
    return {
      stage: this.#stage,
      current: sum("current"),
      total: sum("total"),
      layers: { done, total: missing.length },
      perLayer: inWork.map(([id, { current, total }]) => ({ id, current, total })),
    };
  }
}
