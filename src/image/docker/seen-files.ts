import { fileNotFound, fileTooLarge, type ArchiveFiles } from "../archive/archive-files.ts";
import { MAX_MANIFEST_BYTES } from "../archive/limits.ts";
import { InvalidImage } from "../invalid-image.ts";
import { addEntry, followLinks } from "../tar/links.ts";
import type { TarHeader } from "../tar/tar-entries.ts";

/**
 * Records the files of a streamed archive: every header, and the contents of manifests and configs. The records are used at the end of the
 * archive, which names its layers.
 */
export interface SeenFiles extends ArchiveFiles {
  /** Throws `InvalidImage` for a second file with the same path. */
  addHeader(entry: TarHeader): void;
  /** Throws `InvalidImage` if the sum of the contents exceeds {@link MAX_MANIFEST_BYTES}. */
  addContent(path: string, content: Buffer): void;
  /** Follows links, and returns the path of the file that a path leads to; undefined if it leads to no file. */
  resolve(path: string): string | undefined;
}

export function seenFiles(): SeenFiles {
  const entries = new Map<string, TarHeader>();
  const contents = new Map<string, Buffer>();
  let bytes = 0;
  return {
    addHeader: ({ path, type, size, target }) => addEntry(entries, { path, type, size, target }),
    addContent(path, content) {
      bytes += content.length;
      if (bytes > MAX_MANIFEST_BYTES) {
        throw new InvalidImage(`its manifests and configs have more than ${MAX_MANIFEST_BYTES} bytes`);
      }
      contents.set(path, content);
    },
    resolve: (path) => followLinks(entries, path)?.path,
    sizeOf: async (path) => followLinks(entries, path)?.size,
    async read(path, limit) {
      const entry = followLinks(entries, path);
      if (entry === undefined) throw fileNotFound(path);
      if (entry.size > limit) throw fileTooLarge(path, limit);
      const content = contents.get(entry.path);
      if (content === undefined)
        throw new InvalidImage(`${path} in the archive is not a manifest, an index or a config`);
      return content;
    },
  };
}
