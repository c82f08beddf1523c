import type { Duplex } from "node:stream";

/** The first bytes of HTTP/2 with prior knowledge (RFC 9113, 3.4) */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/**
 * Detects the protocol of a connection from its first bytes, which it puts back. Resolves with undefined if the
 * connection ends before that, or if `signal` is aborted.
 */
export function sniff(connection: Duplex, signal: AbortSignal): Promise<"http1" | "http2" | undefined> {
  return new Promise((resolve) => {
    let seen: Buffer = Buffer.alloc(0);
    const settle = (found: "http1" | "http2" | undefined): void => {
      connection.off("readable", onReadable).off("end", onEnd).off("close", onEnd);
      signal.removeEventListener("abort", onEnd);
      if (found !== undefined) connection.unshift(seen);
      resolve(found);
    };
    const onEnd = (): void => settle(undefined);
    const onReadable = (): void => {
      const chunk = connection.read() as Buffer | null;
      if (chunk === null) return;
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const length = Math.min(seen.length, PREFACE.length);
      if (!seen.subarray(0, length).equals(PREFACE.subarray(0, length))) settle("http1");
      else if (length === PREFACE.length) settle("http2");
    };
    connection.on("readable", onReadable).once("end", onEnd).once("close", onEnd);
    signal.addEventListener("abort", onEnd, { once: true });
    if (connection.destroyed) onEnd();
  });
}
