/** Bytes of the first probe: 50 ms at 10 Mbit/s. */
const FIRST = 64 * 1024;
/** ms from the first byte of a probe to its last; a slower first probe has shown that the link is slow. */
const SLOW = 20;
/** Bytes of each further probe. */
const NEXT = 128 * 1024;
/**
 * Further probes, and the first of them that counts. Rate limiters mostly let a burst pass, the bytes of a hundredth of a second or more:
 * the first probes use it up. The fastest of the rest counts, because on a busy machine a probe may be noticed late.
 */
const NEXT_PROBES = 3;
const COUNTS_FROM = 1;
/**
 * A probe whose bytes arrive spread out, at less than this share of a sufficient rate, settles the matter. A probe that arrives late but
 * all at once does not: one of the processes was busy.
 */
const CLEARLY_SLOWER = 0.8;
/** ms after which a probe is given up: the link is slower than a modem, or the sender gives no probe. */
const LONGEST = 2000;
/** ms at least in a division: the clock's resolution. */
const NO_TIME = 0.5;
/** ms; the bytes received in successive windows of this length show the rate of the transfer itself. */
const WINDOW = 100;

export interface LinkRateOptions {
  /** Returns the bytes received through the tunnel so far. */
  bytesReceived: () => number;
  /** Fetches so many bytes of no use. Rejects, or breaks off, when the signal is aborted. */
  probe: (bytes: number, signal: AbortSignal) => Promise<AsyncIterable<Buffer>>;
  /** --bwlimit, bytes a second; 0 or undefined: no limit. */
  limit?: number | undefined;
  /** ms */
  now?: () => number;
}

export interface RateQuestion {
  /** Bytes a second above which a higher rate makes no difference. */
  enough: number;
  /** Bytes that further probes may cost. */
  budget: number;
}

/**
 * Estimates how many bytes a second the link carries: the rate of a probe, or of the transfer itself where that was higher. A probe is timed
 * from its request, because bytes that wait in buffers while this process is busy seem to arrive at once. The link's delay, the shortest
 * time to any first byte, is subtracted.
 */
export class LinkRate {
  readonly #options: LinkRateOptions;
  readonly #now: () => number;
  /** Bytes a second; the highest rate of the transfer itself. */
  #observed = 0;
  #window: { from: number; before: number; followsRegular: boolean };
  /** ms; the shortest time from a request to its first byte. */
  #delay = Infinity;
  #first: Promise<Probed> | undefined;
  readonly #stopped = new AbortController();
  /** The results of the further probes, which run one at a time. */
  #next: Promise<Probed[]> = Promise.resolve([]);

  constructor(options: LinkRateOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#window = { from: this.#now(), before: options.bytesReceived(), followsRegular: false };
  }

  /** Notes that bytes have arrived. Call it for each chunk. */
  note(): void {
    const at = this.#now();
    const ms = at - this.#window.from;
    if (ms < WINDOW) return;
    const total = this.#options.bytesReceived();
    const bytes = total - this.#window.before;
    // A longer window contained a pause, and the bytes of the window after it may have waited in buffers: neither counts.
    const isRegular = ms < 2 * WINDOW;
    if (isRegular && this.#window.followsRegular && bytes >= FIRST)
      this.#observed = Math.max(this.#observed, (bytes / ms) * 1000);
    this.#window = { from: at, before: total, followsRegular: isRegular };
  }

  /** Returns the bytes a second, at least 1. Probes the link as far as the question needs and earlier probes do not answer it. */
  async bytesPerSecond({ enough, budget }: RateQuestion): Promise<number> {
    const first = await (this.#first ??= this.#probe(FIRST));
    let probed = rateOf(first, 0);
    if (first.transfer <= SLOW && budget >= FIRST + NEXT_PROBES * NEXT) {
      this.#next = this.#next.then(async (probes) => {
        while (probes.length < NEXT_PROBES && !this.#isClear(probes, enough))
          probes = [...probes, await this.#probe(NEXT)];
        return probes;
      });
      probed = this.#best(await this.#next) || probed;
    }
    const { limit = 0 } = this.#options;
    return Math.max(1, Math.min(Math.max(probed, this.#observed), limit > 0 ? limit : Infinity));
  }

  #isClear(probes: readonly Probed[], enough: number): boolean {
    if (Math.max(this.#best(probes), this.#observed) >= enough) return true;
    return probes.slice(COUNTS_FROM).some((probe) => rateAtMost(probe) < enough * CLEARLY_SLOWER);
  }

  /** Returns the highest rate of the probes that count; 0 when there are none. */
  #best(probes: readonly Probed[]): number {
    return Math.max(0, ...probes.slice(COUNTS_FROM).map((probe) => rateOf(probe, this.#delay)));
  }

  /** Ends the current probe, and rejects pending calls of {@link bytesPerSecond} with `reason`. */
  stop(reason: Error): void {
    this.#stopped.abort(reason);
  }

  async #probe(bytes: number): Promise<Probed> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error("the probe takes too long")), LONGEST);
    const signal = AbortSignal.any([late.signal, this.#stopped.signal]);
    const began = this.#now();
    let first: number | undefined;
    let received = 0;
    try {
      for await (const chunk of await this.#options.probe(bytes, signal)) {
        first ??= this.#now();
        received += chunk.length;
        if (received >= bytes) break; // a sender may send more than was requested
      }
    } catch (error) {
      if (!late.signal.aborted) throw error;
      return { bytes: received, all: LONGEST, transfer: LONGEST };
    } finally {
      clearTimeout(timer);
    }
    const ended = this.#now();
    this.#delay = Math.min(this.#delay, (first ?? ended) - began);
    return { bytes: received, all: ended - began, transfer: ended - (first ?? ended) };
  }
}

interface Probed {
  bytes: number;
  /** ms from the request to the last byte. */
  all: number;
  /** ms from the first byte to the last. */
  transfer: number;
}

/** Returns the bytes a second if all the time before the first byte was delay: an upper bound. */
function rateAtMost({ bytes, transfer }: Probed): number {
  return (bytes / Math.max(transfer, NO_TIME)) * 1000;
}

/** Returns the bytes a second without the delay. At most three quarters of the time count as delay, which another probe had. */
function rateOf({ bytes, all }: Probed, delay: number): number {
  return (bytes / Math.max(all - delay, all / 4, NO_TIME)) * 1000;
}
