import type { Readable } from "node:stream";

/**
 * Reads a paused stream until `find` has found something in what has come, from its first byte on, and gives back to it what
 * comes behind that. Resolves to undefined when the stream ends before, or when more than `max` bytes have come; what came is
 * told either way. Rejects with the signal's reason.
 */
export async function readUntil<T extends { start: number; end: number }>(
  stream: Readable,
  find: (text: string) => T | undefined,
  { max, signal }: { max: number; signal: AbortSignal },
): Promise<{ found: T | undefined; before: string }> {
  let come: Buffer = Buffer.alloc(0);
  signal.throwIfAborted();
  return await new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      stream.off("readable", onReadable).off("end", onEnd).off("close", onEnd).off("error", onEnd);
      signal.removeEventListener("abort", onAbort);
      act();
    };
    const onReadable = (): void => {
      for (let chunk: Buffer | null; (chunk = stream.read() as Buffer | null) !== null;) {
        come = Buffer.concat([come, chunk]);
        const found = find(come.toString("latin1")); // one character for each byte
        if (found === undefined && come.length <= max) continue;
        return settle(() => {
          const rest = come.subarray(found?.end ?? come.length);
          if (rest.length > 0) stream.unshift(rest);
          resolve({ found, before: come.toString("utf8", 0, found?.start ?? max) });
        });
      }
    };
    const onEnd = (): void => settle(() => resolve({ found: undefined, before: come.toString("utf8") }));
    const onAbort = (): void => settle(() => reject(signal.reason as Error));
    if (stream.destroyed || stream.readableEnded) return onEnd();
    stream.on("readable", onReadable).once("end", onEnd).once("close", onEnd).once("error", onEnd);
    signal.addEventListener("abort", onAbort);
    onReadable();
  });
}
