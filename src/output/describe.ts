import prettyBytes from "pretty-bytes";

/** Formats bytes, e.g. `52.4 MB`. */
export function bytes(count: number): string {
  return prettyBytes(count, { maximumFractionDigits: 1 });
}

/** Formats a duration in ms: `0.8 s`, `12 s`, `3 min 5 s`. */
export function duration(ms: number): string {
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Formats a count with its noun: `1 layer`, `3 layers`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Returns the first 12 hex digits, as engines display digests. */
export function shortDigest(digest: string): string {
  return digest.slice("sha256:".length).slice(0, 12);
}

/**
 * Makes text of the remote side safe for a terminal, where it could move the cursor, retitle the window, hide earlier output, or change the
 * order in which characters are read. Removes escape sequences, control characters, and format characters (Unicode's Cf: writing directions,
 * zero width). Line feeds and tabs stay.
 */
export function printable(text: string): string {
  return text
    .replaceAll(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-_])/g, "")
    .replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]|[\p{Cf}\p{Cs}]/gu, "")
    .replaceAll(/[\u2028\u2029]/g, "\n");
}

/** As {@link printable}, on one line, and without a gap that would look like a new line where a terminal wraps. */
export function oneLine(text: string): string {
  return printable(text).replaceAll(/\s+/g, " ").trim();
}
