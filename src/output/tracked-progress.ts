import type { Progress } from "./events.ts";

/** ms that the rate is measured over, and between two measurements. */
const WINDOW = 5_000;
const SAMPLE_EVERY = 250;
/** ms from which a rate means something. */
const RATE_AFTER = 500;

/** What is known of one transfer: its last progress, and how fast it goes. */
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
    // A layer that is sent again from its beginning counts less than before.
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

  /** Bytes a second, without those that a delta saves; undefined before it means anything. */
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
