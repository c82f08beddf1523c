import { Readable } from "node:stream";
import { stallTimer, type StallTimer } from "../../streams/stall-timer.ts";
import { cleanUpUnread } from "../../streams/clean-up-unread.ts";
import type { HttpAnswer, HttpRequest, Send } from "./requests.ts";

/** ms that an engine may leave a request without a byte; Infinity: no limit. `sent`: bytes of the body that it has read. */
export type SilenceLimit = (sent: number) => number;

export interface TimeLimitOptions {
  limit: SilenceLimit;
  /** Returns the error for an engine that has been silent for `ms`. */
  reasonOf: (ms: number) => Error;
  /** Called with the number of bytes each time some have been sent or received. */
  onMoved: (bytes: number) => void;
}

export interface TimedAnswer extends Omit<HttpAnswer, "body"> {
  /** For one `for await`. A caller that does not read it calls `return`. */
  body: AsyncIterableIterator<Buffer>;
}

/**
 * Sends a request, and gives it up when the engine does not read the body's next bytes, does not answer, or does not continue its answer.
 * The time does not run while the body has no data or the answer is not read. `stop` in the result is aborted when the request is
 * given up, or its own signal is.
 */
export async function sendWithTimeLimit(
  send: Send,
  request: HttpRequest,
  options: TimeLimitOptions,
): Promise<{ answer: TimedAnswer; stop: AbortSignal }> {
  const timed = new TimedRequest(request.signal, options);
  const { body } = request;
  try {
    const answer = await send({
      ...request,
      signal: timed.signal,
      body: body instanceof Readable ? Readable.from(timed.sending(body), { objectMode: false }) : body,
      onConnected: () => timed.connected(),
    });
    timed.answered();
    const reading = cleanUpUnread(timed.receiving(answer.body), () => {
      timed[Symbol.dispose]();
      answer.body.destroy();
    });
    return { answer: { ...answer, body: reading }, stop: timed.signal };
  } catch (error) {
    timed[Symbol.dispose]();
    timed.signal.throwIfAborted();
    throw error;
  }
}

/** The waits of one request. Disposing ends them. */
class TimedRequest implements Disposable {
  readonly #watch: StallTimer;
  readonly #options: TimeLimitOptions;
  #sent = 0;
  /** Before that, the request waits for others, which have limits of their own. */
  #isConnected = false;
  #isWaiting = true;

  constructor(signal: AbortSignal, options: TimeLimitOptions) {
    this.#watch = stallTimer(options.reasonOf, signal);
    this.#options = options;
  }

  get signal(): AbortSignal {
    return this.#watch.signal;
  }

  connected(): void {
    this.#isConnected = true;
    if (this.#isWaiting) this.#wait();
  }

  answered(): void {
    this.#stopWaiting();
  }

  async *sending(body: Readable): AsyncGenerator<Buffer> {
    this.#stopWaiting();
    for await (const chunk of body as AsyncIterable<Buffer>) {
      this.#wait();
      yield chunk;
      this.#stopWaiting();
      this.#sent += chunk.length;
      this.#options.onMoved(chunk.length);
    }
    this.#wait();
  }

  async *receiving(body: Readable): AsyncGenerator<Buffer> {
    try {
      this.#watch.start(this.#limit());
      for await (const chunk of body as AsyncIterable<Buffer>) {
        this.#watch.stop();
        this.#options.onMoved(chunk.length);
        yield chunk;
        this.#watch.start(this.#limit());
      }
    } finally {
      this[Symbol.dispose]();
      body.destroy();
    }
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }

  #limit(): number {
    return this.#options.limit(this.#sent);
  }

  #wait(): void {
    this.#isWaiting = true;
    if (this.#isConnected) this.#watch.start(this.#limit());
  }

  #stopWaiting(): void {
    this.#isWaiting = false;
    this.#watch.stop();
  }
}
