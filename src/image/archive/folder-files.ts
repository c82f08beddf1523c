import { constants, createReadStream } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
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
    throw noFile(path);
  };
  return {
    sizeOf,
    read: async (path, limit) => {
      await using file = await openFile(join(folder, path), path);
      const { size } = await file.stat();
      if (size > limit) throw tooLarge(path, limit);
      return await file.readFile();
    },
    open: (path) => createReadStream(join(folder, path)),
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
    if (["ENOENT", "ENOTDIR"].includes(code)) throw notThere(path);
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
