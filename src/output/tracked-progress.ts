import type { Progress } from "./events.ts";

/** ms over which the rate is measured, and ms between two samples. */
const WINDOW = 5_000;
const SAMPLE_EVERY = 250;
/** ms after which a rate is meaningful. */
const RATE_AFTER = 500;

/** The last progress of one transfer, and its rate. */
export class TrackedProgress {
  #progress: Progress;
  #samples: { at: number; bytes: number }[];
  #stageBegan: number;

  constructor(progress: Progress, now: number) {
    this.#progress = progress;
    this.#stageBegan = now;
    this.#samples = [{ at: now, bytes: sentBytes(progress) }];
  }

  get last(): Progress {
    return this.#progress;
  }

  update(progress: Progress, now: number): void {
    const sample = { at: now, bytes: sentBytes(progress) };
    if (progress.stage !== this.#progress.stage) this.#stageBegan = now;
    const newest = this.#samples.at(-1);
    // The count falls when a layer is sent again from its beginning.
    if (progress.stage !== this.#progress.stage || newest === undefined || sample.bytes < newest.bytes) {
      this.#samples = [sample];
    } else if (now - newest.at >= SAMPLE_EVERY) {
      this.#samples = [...this.#samples.filter(({ at }) => now - at <= WINDOW), sample];
    }
    this.#progress = { ...progress };
  }

  /** ms since the stage began. */
  elapsed(now: number): number {
    return now - this.#stageBegan;
  }

  /** Bytes a second, without those that a delta saves; undefined until it is meaningful. */
  rate(now: number): number | undefined {
    const [oldest] = this.#samples;
    const ms = now - (oldest?.at ?? now);
    const rate = ((sentBytes(this.#progress) - (oldest?.bytes ?? 0)) / ms) * 1000;
    return ms >= RATE_AFTER && rate > 0 ? rate : undefined;
  }
}

function sentBytes({ current, saved = 0 }: Progress): number {
  return current - saved;
}
