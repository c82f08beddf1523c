import { constants, createReadStream } from "node:fs";
import { open, realpath, stat, type FileHandle } from "node:fs/promises";
import { join, sep } from "node:path";
import { InvalidImage } from "../invalid-image.ts";
import { quoted } from "../tar/entry-path.ts";
import { fileNotFound, fileTooLarge, type RandomAccessFiles } from "./archive-files.ts";

/** Of what has become a pipe since it was looked at, nothing is waited for. */
const READ = (constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)) as unknown as string; // Node takes a number; its types know texts alone

export interface FolderFilesOptions {
  /**
   * Refuses symbolic links that lead out of the folder: for a folder whose files somebody else names, as a docker archive does. In a layout
   * they are named by digests that are proven, and links are followed: build tools link blobs into their layouts.
   */
  within?: boolean;
}

/** The files of a folder, by paths as {@link entryPath} has them. */
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
      if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
      throw error;
    }
    // A named pipe would be waited for without end.
    throw noFile(path);
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

/** Opens what is a file, and does not wait for what is none. */
async function openFile(at: string, path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(at, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ENOTDIR"].includes(code)) throw fileNotFound(path);
    if (code === "ENXIO") throw noFile(path); // a socket
    throw error;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw noFile(path);
}

function noFile(path: string): InvalidImage {
  return new InvalidImage(`${quoted(path)} is not a file`);
}
