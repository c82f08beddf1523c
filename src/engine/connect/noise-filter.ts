/** Bytes of noise after which the connection fails. A message of the day is shorter. */
const MAX_NOISE = 64 * 1024;
/** Bytes of noise to store for messages. */
const STORED_NOISE = 4096;

/**
 * The start of an answer: a status line (RFC 9112, 4), or in HTTP/2 a SETTINGS frame of up to 15 settings on stream 0 (RFC 9113, 3.4
 * and 6.5). It need not start a line, because a banner may end without a line feed.
 */
// oxlint-disable-next-line no-control-regex
const ANSWER = /HTTP\/1\.[01] [1-5]\d\d[ \r]|\0\0[\0\x06\x0c\x12\x18\x1e$*06<BHNTZ]\x04\0\0\0\0\0/;

/** Thrown when a program prints too much text instead of an engine's answer. */
export class NotHttp extends Error {
  override readonly name = "NotHttp";

  constructor(noise: string) {
    super(`it printed more than ${MAX_NOISE / 1024} kB of other text, which begins: ${noise}`);
  }
}

/**
 * Skips the text that a login shell, a profile or a wrapper prints on stdout before the engine's first answer. An engine sends nothing
 * before it gets a request, and every answer begins with {@link ANSWER}.
 */
export class NoiseFilter {
  #pending: Buffer = Buffer.alloc(0);
  #noise = "";
  #done = false;

  /** The first 4 kB of the skipped text, or of the text so far if no answer has begun. */
  get noise(): string {
    return this.#done ? this.#noise : this.#pending.toString("utf8", 0, STORED_NOISE);
  }

  /** Whether an answer has begun. */
  get passed(): boolean {
    return this.#done;
  }

  /**
   * Processes the next chunk. Returns the part of the input that belongs to an answer; undefined until one has begun.
   *
   * @throws NotHttp
   */
  take(chunk: Buffer): Buffer | undefined {
    if (this.#done) return chunk;
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const at = this.#pending.toString("latin1").search(ANSWER);
    if ((at === -1 ? this.#pending.length : at) > MAX_NOISE) throw new NotHttp(this.noise.slice(0, 80));
    if (at === -1) return undefined;
    const answer = this.#pending.subarray(at);
    this.#noise = this.#pending.toString("utf8", 0, Math.min(at, STORED_NOISE));
    this.#pending = Buffer.alloc(0);
    this.#done = true;
    return answer;
  }
}
