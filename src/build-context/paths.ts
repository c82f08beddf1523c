/** Returns a path of an entry as people read it. Bytes that are no UTF-8 become the replacement character. */
export function shownPath(path: string): string {
  return Buffer.from(path, "latin1").toString("utf8");
}

/** Returns the path of an entry for a path in UTF-8. */
export function entryPath(path: string): string {
  return Buffer.from(path, "utf8").toString("latin1");
}

/** Whether a path of an entry is UTF-8. BuildKit's protocol for folders carries no other. */
export function isUtf8Path(path: string): boolean {
  return entryPath(shownPath(path)) === path;
}

/** Compares two paths name by name, by their bytes: all that is in a folder comes right after it. */
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
