/** The burst that may pass after a pause: the bytes that the rate allows in `ms`, but at least `bytes`. */
const BURST = { ms: 100, bytes: 16 * 1024 };
/** Bytes pass in portions of this many ms: shorter portions make many small chunks, longer portions make the stream jerky. */
const PORTION = 50;

/** A token bucket. In any period, it lets no more bytes pass than its rate allows, plus one burst. */
export class TokenBucket {
  /** Bytes per ms. */
  readonly #rate: number;
  readonly #burst: number;
  /** The bytes that may pass, and the time of that count. */
  #level: number;
  #at = performance.now();

  /** @param rate bytes a second */
  constructor(rate: number) {
    this.#rate = rate / 1000;
    this.#burst = Math.max(BURST.bytes, this.#rate * BURST.ms);
    this.#level = this.#burst;
  }

  /** Returns how many of `wanted` bytes may pass now; 0 if the caller should {@link wait}. */
  take(wanted: number): number {
    const now = performance.now();
    this.#level = Math.min(this.#burst, this.#level + (now - this.#at) * this.#rate);
    this.#at = now;
    if (this.#level < this.#portion(wanted)) return 0;
    const taken = Math.min(wanted, Math.floor(this.#level));
    this.#level -= taken;
    return taken;
  }

  /** Returns the ms until some of `wanted` bytes may pass. */
  wait(wanted: number): number {
    return Math.ceil((this.#portion(wanted) - this.#level) / this.#rate);
  }

  #portion(wanted: number): number {
    return Math.min(wanted, Math.max(1, this.#rate * PORTION));
  }
}
