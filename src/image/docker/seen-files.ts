import { InvalidImage } from "../invalid-image.ts";
import { MAX_MANIFEST_BYTES } from "../archive/limits.ts";
import { followLinks, addEntry } from "../tar/links.ts";
import { fileNotFound, fileTooLarge, type ArchiveFiles } from "../archive/archive-files.ts";
import type { TarHeader } from "../tar/tar-entries.ts";

/** What is known of an archive that has passed: the header of each file, and the small files that were kept. */
export interface SeenFiles extends ArchiveFiles {
  /** Throws `InvalidImage` when a file of that name has passed already. */
  addHeader(entry: TarHeader): void;
  /** Throws `InvalidImage` when it becomes too much. */
  addContent(path: string, content: Buffer): void;
  /** The path of the file itself, links followed. */
  resolve(path: string): string | undefined;
}

export function seenFiles(): SeenFiles {
  const entries = new Map<string, TarHeader>();
  const kept = new Map<string, Buffer>();
  let bytes = 0;
  return {
    addHeader: ({ path, type, size, target }) => addEntry(entries, { path, type, size, target }),
    addContent(path, content) {
      bytes += content.length;
      if (bytes > MAX_MANIFEST_BYTES)
        throw new InvalidImage(`its manifests and configs have more than ${MAX_MANIFEST_BYTES} bytes`);
      kept.set(path, content);
    },
    resolve: (path) => followLinks(entries, path)?.path,
    sizeOf: async (path) => followLinks(entries, path)?.size,
    async read(path, limit) {
      const entry = followLinks(entries, path);
      if (entry === undefined) throw fileNotFound(path);
      if (entry.size > limit) throw fileTooLarge(path, limit);
      const content = kept.get(entry.path);
      if (content === undefined) throw new InvalidImage(`${path} in the archive is not what its name says`);
      return content;
    },
  };
}
