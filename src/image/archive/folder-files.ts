import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { InvalidImage } from "../manifest.ts";
import { quoted } from "./entry-path.ts";
import { notThere, tooLarge, type Files } from "./listing.ts";

/**
 * The files of a folder. Only paths that this program makes up are asked for, never ones that an archive names. Symbolic
 * links are followed: build tools link blobs into their layouts, and what is read is proven by its digest.
 */
export function openFolderFiles(folder: string): Files {
  const sizeOf = async (path: string): Promise<number | undefined> => {
    try {
      const found = await stat(join(folder, path));
      if (found.isFile()) return found.size;
    } catch (error) {
      if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
      throw error;
    }
    // A named pipe would be waited for without end.
    throw new InvalidImage(`${quoted(path)} is not a file`);
  };
  return {
    sizeOf,
    read: async (path, limit) => {
      const size = await sizeOf(path);
      if (size === undefined) throw notThere(path);
      if (size > limit) throw tooLarge(path, limit);
      return await readFile(join(folder, path));
    },
    open: (path) => createReadStream(join(folder, path)),
    close: async () => {},
  };
}
