/** Bytes of the first probe: 50 ms at 10 Mbit/s. */
const FIRST = 64 * 1024;
/** ms from its first byte to its last; one that takes longer has shown that the link is slow. */
const SLOW = 20;
/** Bytes of a probe behind that. */
const NEXT = 128 * 1024;
/**
 * What limits a link's rate mostly lets some bytes pass at once, what it carries in a hundredth of a second or more: the first probes take
 * those, and only the others count. Of these the fastest, for on a busy machine one may be told late.
 */
const NEXT_PROBES = 3;
const COUNTS_FROM = 1;
/**
 * A probe whose bytes come one after the other at less than this part of what would be enough is believed at once. One that comes late but all
 * at once is not: this process or the other one was busy.
 */
const CLEARLY_SLOWER = 0.8;
/** ms after which a probe is not waited for any longer: the link carries less than a modem, or the other side gives none. */
const LONGEST = 2000;
/** ms that are taken for none: a clock tells no less. */
const NO_TIME = 0.5;
/** ms; what has come in such a time, again and again, tells what the link carries. */
const WINDOW = 100;

export interface LinkRateOptions {
  /** All that has come through the tunnel, bytes. */
  bytesReceived: () => number;
  /** Fetches so many bytes that are of no use; rejects, and they break off, when the signal is aborted. */
  probe: (bytes: number, signal: AbortSignal) => Promise<AsyncIterable<Buffer>>;
  /** Bytes a second that are not passed, because somebody has said so; 0 or undefined: no limit. */
  limit?: number | undefined;
  /** ms */
  now?: () => number;
}

export interface RateQuestion {
  /** Bytes a second from which on it does not matter how much faster the link is. */
  enough: number;
  /** Bytes that may be spent on looking, if more than the first probe. */
  budget: number;
}

/**
 * How fast bytes come over the link: the rate of a probe, or of the transfer itself where that was higher. A probe is timed from its request, because
 * bytes that wait in buffers while this process is busy look as if they had come at once. The link's delay, which is the shortest time that any
 * first byte took, is subtracted.
 */
export class LinkRate {
  readonly #options: LinkRateOptions;
  readonly #now: () => number;
  #seen = 0;
  #window: { from: number; before: number; isBehindEven: boolean };
  /** ms; of all probes, the shortest time from the request to the first byte. */
  #delay = Infinity;
  #first: Promise<Probed> | undefined;
  readonly #leaving = new AbortController();
  /** What the probes behind it have told; one at a time. */
  #next: Promise<Probed[]> = Promise.resolve([]);

  constructor(options: LinkRateOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#window = { from: this.#now(), before: options.bytesReceived(), isBehindEven: false };
  }

  /** Something has come, of whatever. */
  note(): void {
    const at = this.#now();
    const ms = at - this.#window.from;
    if (ms < WINDOW) return;
    const total = this.#options.bytesReceived();
    const bytes = total - this.#window.before;
    // A window that was longer had a pause in it, and what comes in the next one may have waited in buffers: both say nothing of the link.
    const isEven = ms < 2 * WINDOW;
    if (isEven && this.#window.isBehindEven && bytes >= FIRST) this.#seen = Math.max(this.#seen, (bytes / ms) * 1000);
    this.#window = { from: at, before: total, isBehindEven: isEven };
  }

  /** Bytes a second, at least 1. Probes the link as far as it has not been probed yet. */
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
    return Math.max(1, Math.min(Math.max(probed, this.#seen), limit > 0 ? limit : Infinity));
  }

  #isClear(probes: readonly Probed[], enough: number): boolean {
    if (Math.max(this.#best(probes), this.#seen) >= enough) return true;
    return probes.slice(COUNTS_FROM).some((probe) => rateAtMost(probe) < enough * CLEARLY_SLOWER);
  }

  /** 0 if none counts. */
  #best(probes: readonly Probed[]): number {
    return Math.max(0, ...probes.slice(COUNTS_FROM).map((probe) => rateOf(probe, this.#delay)));
  }

  /** Nobody waits for the rate any more: ends the probe that is under way, and who asked for it is given `reason`. */
  leave(reason: Error): void {
    this.#leaving.abort(reason);
  }

  async #probe(bytes: number): Promise<Probed> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error("the probe takes too long")), LONGEST);
    const signal = AbortSignal.any([late.signal, this.#leaving.signal]);
    const began = this.#now();
    let first: number | undefined;
    let come = 0;
    try {
      for await (const chunk of await this.#options.probe(bytes, signal)) {
        first ??= this.#now();
        come += chunk.length;
        if (come >= bytes) break; // who sends more than was asked for is not listened to
      }
    } catch (error) {
      if (!late.signal.aborted) throw error;
      return { bytes: come, all: LONGEST, transfer: LONGEST };
    } finally {
      clearTimeout(timer);
    }
    const ended = this.#now();
    this.#delay = Math.min(this.#delay, (first ?? ended) - began);
    return { bytes: come, all: ended - began, transfer: ended - (first ?? ended) };
  }
}

interface Probed {
  bytes: number;
  /** ms from the request, and from the first byte, to the last. */
  all: number;
  transfer: number;
}

/** Bytes a second, if all that went before the first byte was delay. */
function rateAtMost({ bytes, transfer }: Probed): number {
  return (bytes / Math.max(transfer, NO_TIME)) * 1000;
}

/** Bytes a second. What is taken for the delay is no more than most of the time, for it may have been another one's. */
function rateOf({ bytes, all }: Probed, delay: number): number {
  return (bytes / Math.max(all - delay, all / 4, NO_TIME)) * 1000;
}
