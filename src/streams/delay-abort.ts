/** Returns a signal that is aborted `ms` after `signal`, with the same reason. */
export function delayAbort(signal: AbortSignal, ms: number): AbortSignal {
  const delayed = new AbortController();
  const begin = (): void => void setTimeout(() => delayed.abort(signal.reason), ms).unref();
  if (signal.aborted) begin();
  else signal.addEventListener("abort", begin, { once: true });
  return delayed.signal;
}
