/** Bytes of the first probe: 50 ms at 10 Mbit/s. */
const FIRST = 64 * 1024;
/** ms; a first probe that takes longer has shown that the link is slow. */
const SLOW = 30;
/**
 * Bytes of a probe behind that. Its second half counts: what limits a link's rate mostly lets some bytes pass at once, a tenth of a second's or
 * a hundredth's, and only then no more than the rate.
 */
const NEXT = 192 * 1024;
/** Probes of that size at most. On a busy machine one may be told late: then the link looks slower than it is. */
const NEXT_PROBES = 2;
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
 * How fast bytes come over the link: the time of a probe runs between bytes that come, so that the link's delay does not count. Where what came
 * anyway was faster, that. It is never more than the link carries for a tenth of a second.
 */
export class LinkRate {
  readonly #options: LinkRateOptions;
  readonly #now: () => number;
  #seen = 0;
  #window: { from: number; before: number };
  #first: Promise<Probed> | undefined;
  /** What later probes have told, and how much they cost; one at a time. */
  #next = Promise.resolve({ best: 0, count: 0 });

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
    if (ms < 2 * WINDOW && bytes >= FIRST) this.#seen = Math.max(this.#seen, (bytes / ms) * 1000);
    this.#window = { from: at, before: total };
  }

  /** Bytes a second, at least 1. Probes the link as far as it has not been probed yet. */
  async bytesPerSecond({ enough, budget }: RateQuestion): Promise<number> {
    const first = await (this.#first ??= this.#probe(FIRST, 0));
    let probed = first.bytesPerSecond;
    if (first.ms <= SLOW && budget >= FIRST + NEXT) {
      this.#next = this.#next.then(async ({ best, count }) => {
        while (count < NEXT_PROBES && best < enough && this.#seen < enough) {
          best = Math.max(best, (await this.#probe(NEXT, NEXT / 2)).bytesPerSecond);
          count += 1;
        }
        return { best, count };
      });
      const { best, count } = await this.#next;
      if (count > 0) probed = best;
    }
    const { limit = 0 } = this.#options;
    return Math.max(1, Math.min(Math.max(probed, this.#seen), limit > 0 ? limit : Infinity));
  }

  /** The rate of what comes behind so many bytes, or, of what comes in fewer chunks, behind the first of them. */
  async #probe(bytes: number, behind: number): Promise<Probed> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error("the probe takes too long")), LONGEST);
    const began = this.#now();
    let since: number | undefined;
    let [come, counted] = [0, 0];
    try {
      for await (const chunk of await this.#options.probe(bytes, late.signal)) {
        come += chunk.length;
        // What comes with that chunk was on its way before anybody looked.
        if (since !== undefined) counted += chunk.length;
        else if (come >= behind) since = this.#now();
        if (come >= bytes) break; // who sends more than was asked for is not listened to
      }
    } catch (error) {
      if (!late.signal.aborted) throw error;
      return { bytesPerSecond: (come / LONGEST) * 1000, ms: LONGEST };
    } finally {
      clearTimeout(timer);
    }
    const ended = this.#now();
    const ms = Math.max(ended - (since ?? began), NO_TIME);
    // All in one: it took no time that could be told.
    return { bytesPerSecond: ((counted === 0 ? come : counted) / ms) * 1000, ms: counted === 0 ? NO_TIME : ms };
  }
}

interface Probed {
  bytesPerSecond: number;
  /** That it took. */
  ms: number;
}
