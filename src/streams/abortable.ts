import { setMaxListeners } from "node:events";

/** Settles as `promise` does, or rejects with the signal's reason if the signal is aborted first. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => {}); // after an abort, no other code handles its rejection
  signal.throwIfAborted();
  let onAbort!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    setMaxListeners(0, signal); // many calls may wait on one signal; each removes its listener
    signal.addEventListener("abort", onAbort);
  });
  return await Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", onAbort));
}
