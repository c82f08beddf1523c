import { PROBE_BYTES } from "../registry/embedded/probe-link.ts";

/** Probes at most. On a busy machine one may be told late: then the link looks slower than it is. */
const PROBES = 3;
/** ms in which the processor's doings are no excuse: a probe that takes longer has shown that the link is slow. */
const SLOW = 30;
/** ms after which a probe is not waited for any longer: the link carries less than a modem, or the other side gives none. */
const LONGEST = 2000;
/** ms; what has come in such a time, again and again, tells what the link carries. */
const WINDOW = 100;
/** Bytes in a window that tell something. */
const ENOUGH = PROBE_BYTES;

export interface LinkRateOptions {
  /** All that has come through the tunnel, bytes. */
  bytesReceived: () => number;
  /** Fetches {@link PROBE_BYTES} bytes that are of no use; rejects, and they break off, when the signal is aborted. */
  probe: (signal: AbortSignal) => Promise<AsyncIterable<Buffer>>;
  /** Bytes a second that are not passed, because somebody has said so; 0 or undefined: no limit. */
  limit?: number | undefined;
  /** ms */
  now?: () => number;
}

/**
 * How fast bytes come over the link, from the first to the last of a probe, so that the delay of the link does not count; or, where more has
 * been seen of what came anyway, that. It is never more than the link carries, for no buffer gives bytes that have not come.
 */
export class LinkRate {
  readonly #options: LinkRateOptions;
  readonly #now: () => number;
  #seen = 0;
  #window: { from: number; before: number };
  #probed: Promise<number> | undefined;

  constructor(options: LinkRateOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#window = { from: this.#now(), before: options.bytesReceived() };
  }

  /** Something has come, of whatever. */
  note(): void {
    const at = this.#now();
    const ms = at - this.#window.from;
    if (ms < WINDOW) return;
    const total = this.#options.bytesReceived();
    const bytes = total - this.#window.before;
    // A window that was longer had a pause in it, and says nothing of the link.
    if (ms < 2 * WINDOW && bytes >= ENOUGH) this.#seen = Math.max(this.#seen, (bytes / ms) * 1000);
    this.#window = { from: at, before: total };
  }

  /** Bytes a second. Probes the link the first time. */
  async bytesPerSecond(): Promise<number> {
    const probed = await (this.#probed ??= this.#probe());
    const { limit = 0 } = this.#options;
    return Math.max(1, Math.min(Math.max(probed, this.#seen), limit > 0 ? limit : Infinity));
  }

  async #probe(): Promise<number> {
    let best = 0;
    for (let count = 0; count < PROBES; count += 1) {
      const { bytes, ms } = await this.#timeOne();
      best = Math.max(best, (bytes / ms) * 1000);
      if (ms > SLOW) break;
    }
    return best;
  }

  async #timeOne(): Promise<{ bytes: number; ms: number }> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error("the probe takes too long")), LONGEST);
    let first: number | undefined;
    let [come, counted] = [0, 0];
    try {
      for await (const chunk of await this.#options.probe(late.signal)) {
        come += chunk.length;
        // What came with the first chunk was on its way before anybody looked.
        if (first === undefined) first = this.#now();
        else counted += chunk.length;
        if (come >= PROBE_BYTES) break; // who sends more than was asked for is not listened to
      }
    } catch (error) {
      if (!late.signal.aborted) throw error;
      return { bytes: come, ms: LONGEST };
    } finally {
      clearTimeout(timer);
    }
    // All in one: it took no time that could be told.
    return counted === 0 ? { bytes: come, ms: 0.5 } : { bytes: counted, ms: Math.max(this.#now() - (first ?? 0), 0.5) };
  }
}
