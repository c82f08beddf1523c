import type { Stats } from "node:fs";

/** Whatever a change of the content changes. Not the device: its number may be another after a restart. */
export function fingerprintOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return [ino, size, microseconds(mtimeMs), microseconds(ctimeMs)].map((part) => part.toString(36)).join("-");
}

/** Returns the ctime in a fingerprint, in µs since 1970: the last change of a file, whatever its mtime says. */
export function changedAt(fingerprint: string): number {
  return Number.parseInt(fingerprint.slice(fingerprint.lastIndexOf("-") + 1), 36);
}

/** Node's milliseconds have a fraction that is exact to a quarter of a microsecond. */
export function microseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1000);
}
