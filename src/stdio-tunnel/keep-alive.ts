import { TICKS_PER_SILENCE } from "./constants.ts";

/**
 * Watches a line for silence (PROTOCOL.md, 4): at each tick `ping` asks the far end for a sign of life, and
 * TICKS_PER_SILENCE ticks in a row without a byte are `onSilence`. Returns what stops it.
 *
 * Ticks are counted, not time: a timer that was late because this computer slept still fires once only.
 */
export function keepAlive(
  line: { readonly bytesRead: number },
  silence: number,
  ping: () => void,
  onSilence: () => void,
): () => void {
  let seen = line.bytesRead;
  let silentTicks = 0;
  const timer = setInterval(() => {
    silentTicks = line.bytesRead === seen ? silentTicks + 1 : 0;
    seen = line.bytesRead;
    if (silentTicks < TICKS_PER_SILENCE) return ping();
    clearInterval(timer);
    onSilence();
  }, silence / TICKS_PER_SILENCE);
  return () => clearInterval(timer);
}
