import type { Readable } from "node:stream";

/**
 * Reads a paused stream until `find` finds a match in the received text, and returns the bytes after the match to the stream. `found` is
 * undefined if the stream ends first, or after more than `max` bytes. `before` is the text before the match, or all of the text. Rejects
 * with the signal's reason.
 */
export async function readUntil<T extends { start: number; end: number }>(
  stream: Readable,
  find: (text: string) => T | undefined,
  { max, signal }: { max: number; signal: AbortSignal },
): Promise<{ found: T | undefined; before: string }> {
  let received: Buffer = Buffer.alloc(0);
  signal.throwIfAborted();
  return await new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      stream.off("readable", onReadable).off("end", onEnd).off("close", onEnd).off("error", onEnd);
      signal.removeEventListener("abort", onAbort);
      act();
    };
    const onReadable = (): void => {
      for (let chunk: Buffer | null; (chunk = stream.read() as Buffer | null) !== null;) {
        received = Buffer.concat([received, chunk]);
        const found = find(received.toString("latin1")); // one character for each byte
        if (found === undefined && received.length <= max) continue;
        return settle(() => {
          const rest = received.subarray(found?.end ?? received.length);
          if (rest.length > 0) stream.unshift(rest);
          resolve({ found, before: received.toString("utf8", 0, found?.start ?? max) });
        });
      }
    };
    const onEnd = (): void => settle(() => resolve({ found: undefined, before: received.toString("utf8") }));
    const onAbort = (): void => settle(() => reject(signal.reason as Error));
    if (stream.destroyed || stream.readableEnded) return onEnd();
    stream.on("readable", onReadable).once("end", onEnd).once("close", onEnd).once("error", onEnd);
    signal.addEventListener("abort", onAbort);
    onReadable();
  });
}
