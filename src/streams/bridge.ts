import { Socket } from "node:net";
import { duplexPair, type Duplex } from "node:stream";

/**
 * Copies in both directions between two streams until both have ended, including half-closes.
 * Owns both streams: when one breaks, it resets the other, so that a truncated answer never looks complete.
 */
export function bridge(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to);
    from.on("error", () => {});
    from.once("close", () => {
      if (!isComplete(from)) reset(to);
    });
  }
}

/**
 * Returns whether both directions have ended properly. Does not use writableFinished: HTTP/2 may close a stream before it emits "finish".
 */
function isComplete(stream: Duplex): boolean {
  return stream.readableEnded && stream.writableEnded && stream.writableLength === 0 && !stream.errored;
}

function reset(stream: Duplex): void {
  if (stream.destroyed) return;
  // A TCP connection that ends without a reset counts as complete.
  if (stream instanceof Socket && stream.remotePort !== undefined) stream.resetAndDestroy();
  else stream.destroy(new Error("the other half of the bridge is gone"));
}

/**
 * Wraps a stream for code that expects a socket. An HTTP client or server must not use an HTTP/2 stream directly: it writes strings, and
 * Node 20.20 sent other memory in their place over pipes (an engine got 16 stray bytes instead of an answer).
 */
export function asSocket(stream: Duplex): Duplex {
  const [inner, outer] = duplexPair();
  bridge(stream, outer);
  // One stream of a pair does not notice that the other was destroyed (Node 20): a broken answer would stay open for ever.
  inner.once("close", () => outer.readableEnded || outer.destroy());
  // The same in the other direction: a client that waits for an answer would not notice that the stream was reset.
  outer.once("error", (error) => inner.destroy(error));
  inner.on("error", () => {});
  return inner;
}
