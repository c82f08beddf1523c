import type { Stats } from "node:fs";

/** Whatever a change of the content changes. Not the device: its number may be another after a restart. */
export function fingerprintOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return [ino, size, microseconds(mtimeMs), microseconds(ctimeMs)].map((part) => part.toString(36)).join("-");
}

/** Node's milliseconds have a fraction that is exact to a quarter of a microsecond. */
export function microseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1000);
}
