import type { BuildProgress } from "./build-events.ts";
import type { OutputOptions } from "./output.ts";
import type { Progress, TransferEvent, TransferName } from "./events.ts";

/** ms between two progress events of a transfer. */
const PROGRESS_EVERY = 200;

/** Number of step items whose last event is remembered: a builder that never completes an item must not fill the memory. */
const MAX_ITEMS = 10_000;

/** Characters that JSON does not escape and that would control a terminal, as in `printable`. */
const UNSAFE = /[\u007f-\u009f\u2028\u2029]|\p{Cf}/gu;

/** Prints events for programs, one per line (docs/events.md). The options hide the same events as in the output for people. */
export class JsonLines {
  readonly #options: OutputOptions;
  readonly #write: (text: string) => void;
  readonly #now: () => number;
  /** The last progress event of each transfer. */
  readonly #last = new Map<string, { stages: Set<string>; at: number }>();
  /** Time of the last event of each item of a build step. */
  readonly #items = new Map<string, number>();

  constructor(options: OutputOptions, write: (text: string) => void, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#write = write;
    this.#now = now;
  }

  show(event: TransferEvent): void {
    if (this.#isShown(event)) this.#write(`${lineOf(event)}\n`);
  }

  #isShown(event: TransferEvent): boolean {
    const { quiet, verbose, progress } = this.#options;
    if (event.type === "note") return !quiet;
    if (event.type === "detail") return verbose;
    if (event.type === "build-progress") return !quiet && progress && this.#isItemDue(event);
    if (event.type.startsWith("build-")) return !quiet;
    return event.type !== "progress" || (!quiet && progress && this.#isDue(event, event.transfer));
  }

  /** The begin and the end of an item are always due. */
  #isItemDue({ step, id, completed }: BuildProgress): boolean {
    const key = JSON.stringify([step, id]);
    const [last, now] = [this.#items.get(key) ?? -Infinity, this.#now()];
    if (completed === undefined && now - last < PROGRESS_EVERY) return false;
    if (this.#items.size === MAX_ITEMS) this.#items.clear();
    if (completed === undefined) this.#items.set(key, now);
    else this.#items.delete(key);
    return true;
  }

  /** A new stage is always due. A peer that alternates between stages does not make events more frequent. */
  #isDue({ stage }: Progress, transfer: TransferName = {}): boolean {
    const key = JSON.stringify([transfer.host, transfer.image]);
    const last = this.#last.get(key) ?? { stages: new Set(), at: -Infinity };
    const now = this.#now();
    if (last.stages.has(stage) && now - last.at < PROGRESS_EVERY) return false;
    this.#last.set(key, { stages: last.stages.add(stage), at: now });
    return true;
  }
}

function lineOf(event: TransferEvent): string {
  // A character beyond U+FFFF is two units, and each is escaped.
  const escaped = (text: string): string =>
    text.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return JSON.stringify(event).replaceAll(UNSAFE, escaped);
}
