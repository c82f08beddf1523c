import { MAGIC_LINE, PROTOCOL_VERSION, SILENCE_TIMEOUT, TICKS_PER_SILENCE } from "../../stdio-tunnel/constants.ts";
import { VERSION } from "../../version.ts";

/**
 * The lines between `push --relay` and the `relay` that it starts on the first host. The relay sends the hello of a tunnel,
 * because the remote script may skip a program without one. After that, each on a line:
 *
 * 1. the initiator sends the order (`RelayOrder`),
 * 2. the relay reports that it is ready, or why it is not,
 * 3. the initiator sends a list of the images that have arrived,
 * 4. the relay sends events in the format of --json, and ends. An empty line is a sign of life.
 *
 * When its stdin ends, the relay stops and cleans up.
 */

/** The relay's hello, with its line ends. */
export const HELLO = `${MAGIC_LINE}${JSON.stringify({ protocol: PROTOCOL_VERSION, tool: VERSION, role: "sender", features: ["relay"] })}\n`;

export const READY = JSON.stringify({ type: "ready" });

/** Maximum bytes of a line. A plan of 127 layers takes 20 kB. */
export const MAX_LINE = 1_000_000;

/** Returns the ms without a line after which the relay counts as dead, and the ms between two signs of life. */
export function silence({ timeout = SILENCE_TIMEOUT }: { timeout?: number | undefined }): {
  max: number;
  tick: number;
} {
  return { max: timeout, tick: timeout / TICKS_PER_SILENCE };
}
