/** Bytes of the first probe: 50 ms at 10 Mbit/s. */
const FIRST = 64 * 1024;
/** ms from the first byte of a probe to its last; a slower first probe has shown that the link is slow. */
const SLOW = 20;
/**
 * Rate limiters let a burst pass at full speed: the bytes that they carry in a hundredth of a second or more, and again after each pause of
 * that length. Therefore this many bytes at the beginning of a further probe prove nothing. A burst that passed in an earlier probe does
 * not change that: at 100 Mbit/s, another burst is allowed after 10 ms.
 */
const BURST = 128 * 1024;
/** Bytes of each further probe. */
const NEXT = 2 * BURST;
const NEXT_PROBES = 3;
/** No further probe is needed if the bytes of a probe arrive spread out, at less than this share of a sufficient rate. */
const CLEARLY_SLOWER = 0.8;
/** The longest pause of such a probe, as a share of the time. */
const SPREAD_OUT = 0.75;
/** No further probe is needed after two such probes whose rates differ by less than this share. */
const AGREEMENT = 0.2;
/** ms after which a probe is given up: the link is slower than a modem, or the sender sends no probe. */
const LONGEST = 2000;
/** The minimum ms in a division: the clock's resolution. */
const NO_TIME = 0.5;
/** ms; the bytes received in successive windows of this length show the rate of the transfer itself. */
const WINDOW = 100;

export interface LinkRateOptions {
  /** Returns the bytes received through the tunnel so far. */
  bytesReceived: () => number;
  /** Fetches a probe of `bytes` bytes. Rejects, or stops early, when the signal is aborted. */
  probe: (bytes: number, signal: AbortSignal) => Promise<AsyncIterable<Buffer>>;
  /** --bwlimit, bytes a second; 0 or undefined: no limit. */
  limit?: number | undefined;
  /** ms */
  now?: () => number;
}

export interface RateQuestion {
  /** Bytes a second above which a higher rate makes no difference. */
  enough: number;
  /** The bytes that all probes together may cost, except the first. */
  budget: number;
}

/**
 * Estimates how many bytes a second the link carries: the rate of a probe, or of the transfer itself if that was higher. While this
 * process is busy, bytes wait in buffers and seem to arrive late and all at once. The bounds of a probe's rate remain valid.
 */
export class LinkRate {
  readonly #options: LinkRateOptions;
  readonly #now: () => number;
  /** The highest rate of the transfer itself, in bytes a second. */
  #observed = 0;
  #window: { from: number; before: number; followsRegular: boolean };
  /** The shortest time from a request to its first byte, in ms. */
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

  /** Records that bytes have arrived. Call it for each chunk. */
  note(): void {
    const at = this.#now();
    const ms = at - this.#window.from;
    if (ms < WINDOW) return;
    const total = this.#options.bytesReceived();
    const bytes = total - this.#window.before;
    // A longer window contained a pause, and the bytes of the next window may have waited in buffers. Neither window counts.
    const isRegular = ms < 2 * WINDOW;
    if (isRegular && this.#window.followsRegular && bytes >= FIRST)
      this.#observed = Math.max(this.#observed, (bytes / ms) * 1000);
    this.#window = { from: at, before: total, followsRegular: isRegular };
  }

  /** Returns the rate in bytes a second, at least 1. Fetches further probes only while the earlier probes do not answer the question. */
  async bytesPerSecond(question: RateQuestion): Promise<number> {
    const { enough } = question;
    const first = await (this.#first ??= this.#probe(FIRST));
    let probed = rateBetween(first.bytes, first.all);
    if (first.transfer <= SLOW) {
      this.#next = this.#next.then(async (probes) => {
        while (this.#isOpen(probes, question)) probes = [...probes, await this.#probe(NEXT)];
        return probes;
      });
      const probes = await this.#next;
      if (probes.length > 0) probed = this.#rateOf(probes, enough);
    }
    const { limit = 0 } = this.#options;
    return Math.max(1, Math.min(Math.max(probed, this.#observed), limit > 0 ? limit : Infinity));
  }

  /** Returns the bytes of the probes that this question alone would have cost. Call it after the question has been answered. */
  async bytesProbedFor(question: RateQuestion): Promise<number> {
    if (this.#first === undefined) return 0;
    if ((await this.#first).transfer > SLOW) return FIRST;
    const probes = await this.#next;
    const needed = probes.findIndex((_, count) => !this.#isOpen(probes.slice(0, count), question));
    return FIRST + NEXT * (needed === -1 ? probes.length : needed);
  }

  /** Returns whether one more probe is needed to answer a question, and allowed. */
  #isOpen(probes: readonly Probed[], { enough, budget }: RateQuestion): boolean {
    const isAllowed = probes.length < NEXT_PROBES && FIRST + (probes.length + 1) * NEXT <= budget;
    return isAllowed && !this.#isFast(probes, enough) && !isSlow(probes, enough) && !agree(probes);
  }

  #isFast(probes: readonly Probed[], enough: number): boolean {
    return this.#observed >= enough || probes.some((probe) => this.#atLeast(probe) >= enough);
  }

  /** Returns the rate of the fastest probe if it is sufficient in any case, else of the median probe. */
  #rateOf(probes: readonly Probed[], enough: number): number {
    const rates = probes
      .map((probe) => Math.min(Math.max(rateBehindBurst(probe), this.#atLeast(probe)), this.#atMost(probe)))
      .toSorted((a, b) => a - b);
    return rates.at(this.#isFast(probes, enough) ? -1 : Math.floor((rates.length - 1) / 2)) ?? 0;
  }

  /** Returns the rate if a burst of {@link BURST} bytes passed in no time. */
  #atLeast({ bytes, all }: Probed): number {
    return rateBetween(bytes - BURST, this.#withoutDelay(all));
  }

  /** Returns the rate if no burst passed. */
  #atMost({ bytes, all }: Probed): number {
    return rateBetween(bytes, this.#withoutDelay(all));
  }

  /** Returns ms. At most three quarters of the time count as delay, because the delay was measured with another probe. */
  #withoutDelay(all: number): number {
    return Math.max(all - this.#delay, all / 4);
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
    let [tailBegan, before, last, pause] = [began, 0, began, 0];
    try {
      for await (const chunk of await this.#options.probe(bytes, signal)) {
        const at = this.#now();
        first ??= at;
        if (received >= BURST) pause = Math.max(pause, at - last);
        else [tailBegan, before] = [at, received + chunk.length];
        last = at;
        received += chunk.length;
        if (received >= bytes) break; // a sender may send more bytes than requested
      }
    } catch (error) {
      if (!late.signal.aborted) throw error;
      return {
        bytes: received,
        all: LONGEST,
        transfer: LONGEST,
        tail: LONGEST,
        tailBytes: received - before,
        pause: 0,
      };
    } finally {
      clearTimeout(timer);
    }
    const ended = this.#now();
    this.#delay = Math.min(this.#delay, (first ?? ended) - began);
    const [all, transfer, tail] = [ended - began, ended - (first ?? ended), ended - tailBegan];
    return { bytes: received, all, transfer, tail, tailBytes: received - before, pause };
  }
}

interface Probed {
  bytes: number;
  /** ms from the request to the last byte. */
  all: number;
  /** ms from the first byte to the last. */
  transfer: number;
  /** ms from the end of the {@link BURST} to the last byte. */
  tail: number;
  /** Bytes in this time. */
  tailBytes: number;
  /** The longest time between two chunks of the tail, in ms. */
  pause: number;
}

/**
 * A busy process receives the bytes late and all at once, so the longest pause is nearly all of the time. On a rate-limited link, the
 * kernel passes up to 64 kB at a time, so each pause is about half of the time.
 */
function isSpreadOut({ pause, tail }: Probed): boolean {
  return pause < tail * SPREAD_OUT;
}

function isSlow(probes: readonly Probed[], enough: number): boolean {
  return probes.some((probe) => isSpreadOut(probe) && rateBehindBurst(probe) < enough * CLEARLY_SLOWER);
}

/** Returns whether two probes have measured the same rate while this process was not busy. */
function agree(probes: readonly Probed[]): boolean {
  const rates = probes
    .filter(isSpreadOut)
    .map(rateBehindBurst)
    .toSorted((a, b) => a - b);
  return rates.some((rate, at) => at > 0 && (rates[at - 1] ?? 0) > rate * (1 - AGREEMENT));
}

function rateBehindBurst({ tailBytes, tail }: Probed): number {
  return rateBetween(tailBytes, tail);
}

/** Returns bytes a second. */
function rateBetween(bytes: number, ms: number): number {
  return (bytes / Math.max(ms, NO_TIME)) * 1000;
}
