import { setMaxListeners } from "node:events";

/** Settles as `promise` does, or rejects with the signal's reason if that comes first. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => {}); // when the signal was first, nobody else hears of its rejection
  signal.throwIfAborted();
  let onAbort!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    setMaxListeners(0, signal); // many may wait on one; each takes its listener away
    signal.addEventListener("abort", onAbort);
  });
  return await Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", onAbort));
}
