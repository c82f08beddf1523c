import { MAX_LINKS } from "./limits.ts";
import { InvalidImage } from "../invalid-image.ts";
import { linkTarget, quoted } from "./entry-path.ts";
import type { TarHeader } from "./tar-entries.ts";

/**
 * Follows links, and returns the file at a path of an archive; undefined if there is none. Docker up to 24.0 writes a symbolic link for a
 * layer that an image has twice, Podman writes one for each layer's former name.
 * Throws `InvalidImage` for links that lead out of the archive, and for circular ones.
 */
export function followLinks<T extends TarHeader>(entries: ReadonlyMap<string, T>, path: string): T | undefined {
  let entry = entries.get(path);
  for (let links = 0; entry !== undefined && (entry.type === "symlink" || entry.type === "link"); links += 1) {
    if (links === MAX_LINKS) throw new InvalidImage(`the archive's link ${quoted(path)} leads nowhere`);
    entry = entries.get(linkTarget(entry.path, entry.type, entry.target));
  }
  return entry?.type === "file" ? entry : undefined;
}

/**
 * Adds an entry under its path. Throws `InvalidImage` for a second entry with the same path: an engine uses the last one, other programs
 * use the first, and neither can be trusted.
 */
export function addEntry<T extends TarHeader>(entries: Map<string, T>, entry: T): void {
  if (entry.type === "directory") return;
  if (entries.has(entry.path)) throw new InvalidImage(`the archive has ${quoted(entry.path)} twice`);
  entries.set(entry.path, entry);
}
