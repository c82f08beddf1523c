/** Converts the path of an entry to UTF-8 for people. Invalid bytes become the replacement character. */
export function shownPath(path: string): string {
  return Buffer.from(path, "latin1").toString("utf8");
}

/** Converts a path in UTF-8 to the path of an entry. */
export function toEntryPath(path: string): string {
  return Buffer.from(path, "utf8").toString("latin1");
}

/** Returns whether the path of an entry is UTF-8. BuildKit's protocol for folders supports no other paths. */
export function isUtf8Path(path: string): boolean {
  return toEntryPath(shownPath(path)) === path;
}

/** Compares two paths name by name, by their bytes. In this order, the content of a folder directly follows it. */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const [one, other] = [a[at] as string, b[at] as string];
    if (one === other) continue;
    if (one === "/") return -1;
    if (other === "/") return 1;
    return one < other ? -1 : 1;
  }
  return a.length - b.length;
}
