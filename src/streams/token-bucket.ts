/** What may pass at once after a pause: what passes in so many ms, and so many bytes at least. */
const BURST = { ms: 100, bytes: 16 * 1024 };
/** ms of bytes that are waited for: shorter ones would be too many small pieces, longer ones would come in jolts. */
const PORTION = 50;

/** A token bucket: in any time, no more than its rate and one burst pass. */
export class TokenBucket {
  /** Bytes per ms. */
  readonly #rate: number;
  readonly #burst: number;
  /** Bytes that may pass now, and when that was so. */
  #level: number;
  #at = performance.now();

  /** @param rate bytes a second */
  constructor(rate: number) {
    this.#rate = rate / 1000;
    this.#burst = Math.max(BURST.bytes, this.#rate * BURST.ms);
    this.#level = this.#burst;
  }

  /** How many of `wanted` bytes pass now; none when it is better to {@link wait}. */
  take(wanted: number): number {
    const now = performance.now();
    this.#level = Math.min(this.#burst, this.#level + (now - this.#at) * this.#rate);
    this.#at = now;
    if (this.#level < this.#portion(wanted)) return 0;
    const taken = Math.min(wanted, Math.floor(this.#level));
    this.#level -= taken;
    return taken;
  }

  /** ms until some of `wanted` bytes pass. */
  wait(wanted: number): number {
    return Math.ceil((this.#portion(wanted) - this.#level) / this.#rate);
  }

  #portion(wanted: number): number {
    return Math.min(wanted, Math.max(1, this.#rate * PORTION));
  }
}
