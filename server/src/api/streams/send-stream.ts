import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import type { Wakeup } from "./wakeup.ts";

export interface SendOptions {
  contentType: string;
  /** Ended when the client disconnects */
  wakeup: Wakeup;
  /** ms after which a reader is dropped if it receives none of the waiting data */
  stall: number;
  /** Returns whether the reader still has permission. Called every {@link recheck} ms. If false, the stream ends. */
  mayRead: () => boolean;
  /** ms */
  recheck: number;
}

/**
 * Sends chunks while the reader receives them: requests the next chunk when the last one has left, so a slow reader
 * holds two chunks at most. Sends the headers at once. Resolves when the response has started.
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
  // Node counts as activity each part of a write that the other side receives; heartbeats are writes as well. An idle
  // stream has no waiting data.
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
