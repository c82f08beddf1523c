import type { Stats } from "node:fs";

/** Returns the properties that change with a file's content. The device is not one of them: its number may change on a restart. */
export function fingerprintOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return [ino, size, microseconds(mtimeMs), microseconds(ctimeMs)].map((part) => part.toString(36)).join("-");
}

/** Returns the ctime in a fingerprint, in µs since 1970: the time of the last change of a file, even if its mtime was set. */
export function changedAt(fingerprint: string): number {
  return Number.parseInt(fingerprint.slice(fingerprint.lastIndexOf("-") + 1), 36);
}

/** Node's milliseconds have a fraction that is exact to a quarter of a microsecond. */
export function microseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1000);
}
