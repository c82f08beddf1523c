import type { BuildContext, ContextEntry } from "./build-context.ts";
import { comparePaths, toEntryPath } from "./paths.ts";

/** Returns the entry at a path, without following links. @param path relative to the root, in UTF-8 */
export function findEntry({ entries }: Pick<BuildContext, "entries">, path: string): ContextEntry | undefined {
  const wanted = toEntryPath(path);
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = comparePaths((entries[middle] as ContextEntry).path, wanted);
    if (order === 0) return entries[middle];
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return undefined;
}
