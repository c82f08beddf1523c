import type { Progress } from "../../output/output.ts";
import type { EngineProgress } from "../engine-images.ts";

interface Layer {
  present: boolean;
  done: boolean;
  current: number;
  total: number;
}

/** The words of docker's progress stream that say that a layer was there already, on push and on pull. */
const PRESENT = /^(?:Already exists|Layer already exists|Mounted from )/;
const DONE = /^(?:Pushed|Pull complete|Download complete)/;
/** Statuses whose counters are bytes on their way; `Extracting` counts other bytes. */
const MOVING = /^(?:Pushing|Downloading)/;
/** What the first 12 hex digits of a digest look like; other ids (a tag's) are not layers. */
const LAYER_ID = /^[0-9a-f]{12}$/;

/** The first words about a layer that is missing. A containerd store says nothing at all about the others. */
const ANNOUNCED = /^(?:Pulling fs layer|Waiting|Preparing)/;

/** Adds up an engine's progress lines, layer by layer. Bounded: an image has at most 127 layers on most stores. */
export class LayerProgress {
  readonly #layers = new Map<string, Layer>();
  readonly #stage: string;
  /** Sizes in bytes by layer id, where they are known before the engine tells. */
  readonly #sizes: ReadonlyMap<string, number>;

  constructor(stage: string, sizes: ReadonlyMap<string, number> = new Map()) {
    this.#stage = stage;
    this.#sizes = sizes;
  }

  /** Takes one line; true when a layer has moved on, false for what only announces one and for lines about other things. */
  add({ id, status, current, total }: EngineProgress): boolean {
    if (id === undefined || !LAYER_ID.test(id)) return false;
    const layer = this.#layers.get(id) ?? { present: false, done: false, current: 0, total: this.#sizes.get(id) ?? 0 };
    this.#layers.set(id, layer);
    if (PRESENT.test(status)) Object.assign(layer, { present: true, done: true });
    if (MOVING.test(status) && current !== undefined) {
      // A layer of a few bytes is counted with its padding, which its size leaves out.
      Object.assign(layer, { current, total: Math.max(total ?? layer.total, current) });
    }
    if (DONE.test(status)) Object.assign(layer, { done: true, current: layer.total });
    return !ANNOUNCED.test(status);
  }

  /** Ids of the layers that had to move; all others were there already. */
  get moved(): string[] {
    return [...this.#layers].filter(([, layer]) => !layer.present).map(([id]) => id);
  }

  get progress(): Progress {
    const missing = [...this.#layers.values()].filter(({ present }) => !present);
    const sum = (pick: "current" | "total"): number => missing.reduce((all, layer) => all + layer[pick], 0);
    const done = missing.filter((layer) => layer.done).length;
    return {
      stage: this.#stage,
      current: sum("current"),
      total: sum("total"),
      layers: { done, total: missing.length },
    };
  }
}
