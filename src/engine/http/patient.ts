import { Readable } from "node:stream";
import { stallTimer, type StallTimer } from "../../streams/stall-timer.ts";
import { cleanUpUnread } from "../../streams/clean-up-unread.ts";
import type { HttpAnswer, HttpRequest, Send } from "./requests.ts";

/** How long an engine may leave a request without a byte, ms; Infinity: for ever. `given`: bytes of the body that it has taken. */
export type Limit = (given: number) => number;

export interface PatientOptions {
  limit: Limit;
  /** What the request fails with when the engine has been silent for so many ms. */
  reasonOf: (ms: number) => Error;
  /** Bytes that have moved, each time some have. */
  onMoved: (bytes: number) => void;
}

export interface PatientAnswer extends Omit<HttpAnswer, "body"> {
  /** Whoever does not read it ends it (`return`). */
  body: AsyncIterableIterator<Buffer>;
}

/**
 * Sends a request, and gives it up when the engine stops: when it does not take the body's next bytes, does not answer, or leaves its
 * answer. While the body has nothing to give, or nobody reads the answer, nothing is waited for. The answer's body is for one
 * `for await`. `stop`: the signal that has ended it, or will.
 */
export async function sendPatiently(
  send: Send,
  request: HttpRequest,
  { limit, reasonOf, onMoved }: PatientOptions,
): Promise<{ answer: PatientAnswer; stop: AbortSignal }> {
  const watch = stallTimer(reasonOf, request.signal);
  let given = 0;
  /** Before that, the request waits for others, which are watched themselves. */
  let isConnected = false;
  let isWaiting = true;
  const wait = (): void => {
    isWaiting = true;
    if (isConnected) watch.start(limit(given));
  };
  const rest = (): void => {
    isWaiting = false;
    watch.stop();
  };
  async function* giving(body: Readable): AsyncGenerator<Buffer> {
    rest();
    for await (const chunk of body as AsyncIterable<Buffer>) {
      wait();
      yield chunk;
      rest();
      given += chunk.length;
      onMoved(chunk.length);
    }
    wait();
  }
  const { body } = request;
  try {
    const answer = await send({
      ...request,
      signal: watch.signal,
      body: body instanceof Readable ? Readable.from(giving(body), { objectMode: false }) : body,
      onConnected() {
        isConnected = true;
        if (isWaiting) wait();
      },
    });
    rest();
    const reading = cleanUpUnread(nextMessage(answer.body, watch, { limit: () => limit(given), onMoved }), () => {
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

async function* nextMessage(
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
