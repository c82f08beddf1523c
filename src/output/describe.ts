import prettyBytes from "pretty-bytes";

/** Bytes for people, e.g. `52.4 MB`. */
export function bytes(count: number): string {
  return prettyBytes(count, { maximumFractionDigits: 1 });
}

/** A duration for people, from ms: `0.8 s`, `12 s`, `3 min 5 s`. */
export function duration(ms: number): string {
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** `1 layer`, `3 layers`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * Text from the far end, made safe for a terminal: the far end could otherwise move the cursor, retitle the window or
 * hide what it printed, and let lines read in another order than they are written in. Escape sequences, control characters and those
 * that only change how others look (Unicode's Cf: directions, of no width) go; line feeds and tabs stay.
 */
export function printable(text: string): string {
  return text
    .replaceAll(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-_])/g, "")
    .replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]|[\p{Cf}\p{Cs}]/gu, "")
    .replaceAll(/[\u2028\u2029]/g, "\n");
}

/** The same, on one line, and with no gap in it that would begin another where a terminal wraps. */
export function oneLine(text: string): string {
  return printable(text).replaceAll(/\s+/g, " ").trim();
}
