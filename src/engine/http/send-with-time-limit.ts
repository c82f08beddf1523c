import { Readable } from "node:stream";
import { stallTimer, type StallTimer } from "../../streams/stall-timer.ts";
import { cleanUpUnread } from "../../streams/clean-up-unread.ts";
import type { HttpAnswer, HttpRequest, Send } from "./requests.ts";

/**
 * Returns how long an engine may be silent during a request, in ms; Infinity for no limit. `sent`: the bytes of the body that it has read.
 */
export type SilenceLimit = (sent: number) => number;

export interface TimeLimitOptions {
  limit: SilenceLimit;
  /** Returns the error for an engine that has been silent for `ms`. */
  reasonOf: (ms: number) => Error;
  /** Called with the number of bytes each time bytes have been sent or received. */
  onMoved: (bytes: number) => void;
}

export interface TimedAnswer extends Omit<HttpAnswer, "body"> {
  /** For one `for await`. A caller that does not read it must call `return`. */
  body: AsyncIterableIterator<Buffer>;
}

/**
 * Sends a request, and aborts it if the engine does not read the body's next bytes, does not answer, or does not continue its answer in
 * time. The timer does not run while the body has no data or nobody reads the answer. `stop` in the result is aborted with the request or
 * its signal.
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

/** The timer of one request. Disposing stops it. */
class TimedRequest implements Disposable {
  readonly #watch: StallTimer;
  readonly #options: TimeLimitOptions;
  #sent = 0;
  /** Until then, the request waits for other requests, which have their own limits. */
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
