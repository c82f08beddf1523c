import { TICKS_PER_SILENCE } from "./constants.ts";

/**
 * Watches a link for silence (PROTOCOL.md, 5): each tick calls `ping`, which asks the peer for a sign of life; TICKS_PER_SILENCE ticks in
 * a row without a byte call `onSilence`. Returns a function that stops it.
 *
 * Counts ticks, not time: after this computer was suspended, a timer fires only once.
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
