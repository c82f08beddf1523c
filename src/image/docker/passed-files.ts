import { InvalidImage } from "../manifest.ts";
import { MAX_KEPT } from "../archive/limits.ts";
import { followLinks, remember } from "../tar/links.ts";
import { notThere, tooLarge, type Listing } from "../archive/listing.ts";
import type { TarHeader } from "../tar/tar-entries.ts";

/** What is known of an archive that has passed: the header of each file, and the small files that were kept. */
export interface PassedFiles extends Listing {
  /** Throws `InvalidImage` when a file of that name has passed already. */
  sees(entry: TarHeader): void;
  /** Throws `InvalidImage` when it becomes too much. */
  keep(path: string, content: Buffer): void;
  /** The path of the file itself, links followed. */
  pathOf(path: string): string | undefined;
}

export function passedFiles(): PassedFiles {
  const entries = new Map<string, TarHeader>();
  const kept = new Map<string, Buffer>();
  let bytes = 0;
  return {
    sees: ({ path, type, size, target }) => remember(entries, { path, type, size, target }),
    keep(path, content) {
      bytes += content.length;
      if (bytes > MAX_KEPT) throw new InvalidImage(`its manifests and configs have more than ${MAX_KEPT} bytes`);
      kept.set(path, content);
    },
    pathOf: (path) => followLinks(entries, path)?.path,
    sizeOf: async (path) => followLinks(entries, path)?.size,
    async read(path, limit) {
      const entry = followLinks(entries, path);
      if (entry === undefined) throw notThere(path);
      if (entry.size > limit) throw tooLarge(path, limit);
      const content = kept.get(entry.path);
      if (content === undefined) throw new InvalidImage(`${path} in the archive is not what its name says`);
      return content;
    },
  };
}
