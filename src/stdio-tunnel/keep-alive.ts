import { TICKS_PER_SILENCE } from "./constants.ts";

/**
 * Watches a link for silence (PROTOCOL.md, 5). Each tick calls `ping`, which requests a sign of life from the peer. After TICKS_PER_SILENCE
 * ticks in a row without a byte, calls `onSilence`. Returns a function that stops the watch.
 *
 * Counts ticks instead of time, because a timer fires only once after this computer was suspended.
 */
export function keepAlive(
  link: { readonly bytesRead: number },
  silence: number,
  ping: () => void,
  onSilence: () => void,
): () => void {
  let seen = link.bytesRead;
  let silentTicks = 0;
  const timer = setInterval(() => {
    silentTicks = link.bytesRead === seen ? silentTicks + 1 : 0;
    seen = link.bytesRead;
    if (silentTicks < TICKS_PER_SILENCE) return ping();
    clearInterval(timer);
    onSilence();
  }, silence / TICKS_PER_SILENCE);
  return () => clearInterval(timer);
}
