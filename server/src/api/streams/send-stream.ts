import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import type { Wakeup } from "./wakeup.ts";

export interface SendOptions {
  contentType: string;
  /** Ended when the client has gone */
  wakeup: Wakeup;
  /** ms after which a reader is dropped that takes nothing of what waits for it */
  stall: number;
  /** Whether the reader may still read: asked every {@link recheck} ms. The stream ends when it may not. */
  mayRead: () => boolean;
  /** ms */
  recheck: number;
}

/**
 * Sends chunks while the reader takes them: the next one is asked for when the last one has left, so that a slow reader holds two of them at most. The
 * headers go at once. Resolves when the answer is on its way.
 */
export async function sendStream(
  reply: FastifyReply,
  chunks: AsyncIterable<Buffer | string>,
  { contentType, wakeup, stall, mayRead, recheck }: SendOptions,
): Promise<void> {
  const { raw } = reply;
  const timer = setInterval(() => {
    if (!mayRead()) wakeup.end();
  }, recheck);
  raw.once("close", () => {
    clearInterval(timer);
    wakeup.end();
  });
  // Node counts as activity each part of a write that the other side takes; heartbeats are writes too. An idle stream has nothing that waits.
  raw.setTimeout(stall, () => {
    if (raw.writableLength > 0) raw.destroy();
  });
  const flushed = async function* (): AsyncGenerator<Buffer | string> {
    raw.flushHeaders();
    yield* chunks;
  };
  await reply
    .header("content-type", contentType)
    .header("cache-control", "no-store")
    .header("x-accel-buffering", "no") // nginx passes each event on at once
    .send(Readable.from(flushed(), { objectMode: false, highWaterMark: 1 }));
}
