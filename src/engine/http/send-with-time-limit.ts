import { Readable } from "node:stream";
import { stallTimer, type StallTimer } from "../../streams/stall-timer.ts";
import { cleanUpUnread } from "../../streams/clean-up-unread.ts";
import type { HttpAnswer, HttpRequest, Send } from "./requests.ts";

/** ms that an engine may leave a request without a byte; Infinity: no limit. `sent`: bytes of the body that it has read. */
export type SilenceLimit = (sent: number) => number;

export interface TimeLimitOptions {
  limit: SilenceLimit;
  /** Returns the error for an engine that has been silent for so many ms. */
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
 * The time does not run while the body has no data or nobody reads the answer. `stop` in the result is aborted when the request is
 * given up, or its own signal is.
 */
export async function sendWithTimeLimit(
  send: Send,
  request: HttpRequest,
  { limit, reasonOf, onMoved }: TimeLimitOptions,
): Promise<{ answer: TimedAnswer; stop: AbortSignal }> {
  const watch = stallTimer(reasonOf, request.signal);
  let sent = 0;
  /** Before that, the request waits for others, which have limits of their own. */
  let isConnected = false;
  let isWaiting = true;
  const wait = (): void => {
    isWaiting = true;
    if (isConnected) watch.start(limit(sent));
  };
  const stopWaiting = (): void => {
    isWaiting = false;
    watch.stop();
  };
  async function* sending(body: Readable): AsyncGenerator<Buffer> {
    stopWaiting();
    for await (const chunk of body as AsyncIterable<Buffer>) {
      wait();
      yield chunk;
      stopWaiting();
      sent += chunk.length;
      onMoved(chunk.length);
    }
    wait();
  }
  const { body } = request;
  try {
    const answer = await send({
      ...request,
      signal: watch.signal,
      body: body instanceof Readable ? Readable.from(sending(body), { objectMode: false }) : body,
      onConnected() {
        isConnected = true;
        if (isWaiting) wait();
      },
    });
    stopWaiting();
    const reading = cleanUpUnread(receive(answer.body, watch, { limit: () => limit(sent), onMoved }), () => {
      watch[Symbol.dispose]();
      answer.body.destroy();
    });
    return { answer: { ...answer, body: reading }, stop: watch.signal };
  } catch (error) {
    watch[Symbol.dispose]();
    watch.signal.throwIfAborted();
    throw error;
  }
}

async function* receive(
  body: Readable,
  watch: StallTimer,
  { limit, onMoved }: { limit: () => number; onMoved: (bytes: number) => void },
): AsyncGenerator<Buffer> {
  try {
    watch.start(limit());
    for await (const chunk of body as AsyncIterable<Buffer>) {
      watch.stop();
      onMoved(chunk.length);
      yield chunk;
      watch.start(limit());
    }
  } finally {
    watch[Symbol.dispose]();
    body.destroy();
  }
}
