import { constants, createReadStream } from "node:fs";
import { open, realpath, stat, type FileHandle } from "node:fs/promises";
import { join, sep } from "node:path";
import { InvalidImage } from "../invalid-image.ts";
import { quoted } from "../tar/entry-path.ts";
import { fileNotFound, fileTooLarge, type RandomAccessFiles } from "./archive-files.ts";

/** Flags that do not block on a file that has become a pipe since it was checked. */
const READ = (constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)) as unknown as string; // Node accepts numbers, its types only strings

const NOT_FOUND = new Set(["ENOENT", "ENOTDIR"]);

export interface FolderFilesOptions {
  /**
   * Refuses symbolic links that lead out of the folder, for a folder with untrusted file names, such as an unpacked docker archive. Links
   * in an OCI layout are followed: its file names are digests, which are verified, and build tools link blobs into their layouts.
   */
  within?: boolean;
}

/** Reads an archive's files from a folder, by paths in the form of `normalisedPath`. */
export function openFolderFiles(folder: string, { within = false }: FolderFilesOptions = {}): RandomAccessFiles {
  const refuseOutside = async (path: string): Promise<void> => {
    if (!within) return;
    const [top, found] = await Promise.all([realpath(folder), realpath(join(folder, path))]);
    if (!found.startsWith(`${top}${sep}`)) throw new InvalidImage(`the link ${quoted(path)} leads out of the folder`);
  };
  const sizeOf = async (path: string): Promise<number | undefined> => {
    try {
      const found = await stat(join(folder, path));
      await refuseOutside(path);
      if (found.isFile()) return found.size;
    } catch (error) {
      if (NOT_FOUND.has((error as NodeJS.ErrnoException).code ?? "")) return undefined;
      throw error;
    }
    // Opening a named pipe would block without end.
    throw notAFile(path);
  };
  return {
    sizeOf,
    read: async (path, limit) => {
      await using file = await openFile(join(folder, path), path);
      await refuseOutside(path);
      const { size } = await file.stat();
      if (size > limit) throw fileTooLarge(path, limit);
      return await file.readFile();
    },
    open: (path) => createReadStream(join(folder, path), { flags: READ }),
    close: async () => {},
  };
}

/** Opens a regular file. Refuses anything else without waiting for it. */
async function openFile(at: string, path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(at, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (NOT_FOUND.has(code)) throw fileNotFound(path);
    if (code === "ENXIO") throw notAFile(path); // a socket
    throw error;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw notAFile(path);
}

function notAFile(path: string): InvalidImage {
  return new InvalidImage(`${quoted(path)} is not a file`);
}
