import { Socket } from "node:net";
import { duplexPair, type Duplex } from "node:stream";

/**
 * Copies both ways between two streams until both directions have ended, half-closes included.
 * Owns both: when one breaks, the other is reset, so that a truncated answer never looks complete.
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

/** Both directions have ended in order. (Not writableFinished: HTTP/2 may close a stream before it says "finish".) */
function isComplete(stream: Duplex): boolean {
  return stream.readableEnded && stream.writableEnded && stream.writableLength === 0 && !stream.errored;
}

function reset(stream: Duplex): void {
  if (stream.destroyed) return;
  // The end of a TCP connection says "complete" unless it is a reset.
  if (stream instanceof Socket && stream.remotePort !== undefined) stream.resetAndDestroy();
  else stream.destroy(new Error("the other half of the bridge is gone"));
}

/**
 * The same stream for code that expects a socket. An HTTP client or server must not speak on an HTTP/2 stream itself: it writes
 * strings, and Node 20.20 over pipes has sent other memory in their place (an engine got 16 stray bytes for an answer).
 */
export function asSocket(stream: Duplex): Duplex {
  const [inner, outer] = duplexPair();
  bridge(stream, outer);
  // One half of a pair does not hear that the other was destroyed (Node 20): a broken answer would stay open for ever.
  inner.once("close", () => outer.readableEnded || outer.destroy());
  // Nor the other way: whoever waits for an answer would not hear that the stream was reset.
  outer.once("error", (error) => inner.destroy(error));
  inner.on("error", () => {});
  return inner;
}
