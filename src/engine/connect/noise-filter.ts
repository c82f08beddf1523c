/** Bytes after which nobody waits for an engine's answer any longer: a message of the day is shorter. */
const MAX_NOISE = 64 * 1024;
/** Bytes of it that are kept for messages. */
const KEPT_NOISE = 4096;

/**
 * The beginning of an answer: a status line (RFC 9112, 4), or in HTTP/2 a SETTINGS frame of up to 15 settings on stream 0 (RFC 9113,
 * 3.4 and 6.5). A banner may end without a line feed, so it need not begin a line.
 */
// oxlint-disable-next-line no-control-regex
const ANSWER = /HTTP\/1\.[01] [1-5]\d\d[ \r]|\0\0[\0\x06\x0c\x12\x18\x1e$*06<BHNTZ]\x04\0\0\0\0\0/;

/** What came is no answer of an engine. */
export class NotHttp extends Error {
  override readonly name = "NotHttp";

  constructor(noise: string) {
    super(`it printed more than ${MAX_NOISE / 1024} kB of something else, which begins: ${noise}`);
  }
}

/**
 * Passes over what a login shell, a profile or a wrapper prints on stdout before the engine's first answer. An engine says
 * nothing before it is asked, and every answer has such a beginning.
 */
export class NoiseFilter {
  #pending: Buffer = Buffer.alloc(0);
  #noise = "";
  #done = false;

  /** What was passed over, or so far might have to be; its first 4 kB. */
  get noise(): string {
    return this.#done ? this.#noise : this.#pending.toString("utf8", 0, KEPT_NOISE);
  }

  /** An answer has begun. */
  get passed(): boolean {
    return this.#done;
  }

  /** What of `chunk` and of those before it is an answer; undefined as long as none has begun. @throws NotHttp */
  take(chunk: Buffer): Buffer | undefined {
    if (this.#done) return chunk;
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const at = this.#pending.toString("latin1").search(ANSWER);
    if ((at === -1 ? this.#pending.length : at) > MAX_NOISE) throw new NotHttp(this.noise.slice(0, 80));
    if (at === -1) return undefined;
    const answer = this.#pending.subarray(at);
    this.#noise = this.#pending.toString("utf8", 0, Math.min(at, KEPT_NOISE));
    this.#pending = Buffer.alloc(0);
    this.#done = true;
    return answer;
  }
}
