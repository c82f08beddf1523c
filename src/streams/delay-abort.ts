/** Aborted so many ms after `signal` is, with its reason. */
export function delayAbort(signal: AbortSignal, ms: number): AbortSignal {
  const later = new AbortController();
  const begin = (): void => void setTimeout(() => later.abort(signal.reason), ms).unref();
  if (signal.aborted) begin();
  else signal.addEventListener("abort", begin, { once: true });
  return later.signal;
}
