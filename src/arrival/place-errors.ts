import { access, constants, readdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { IndexFull } from "../image/archive/index-file.ts";
import { InvalidImage } from "../image/manifest.ts";
import type { FilePlace } from "../image/place.ts";
import { Failure, messageOf } from "../output/errors.ts";

/** Fails when no image can be put there, before anything is asked for. */
export async function refusePlace(place: FilePlace): Promise<void> {
  const { kind, path, given } = place;
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => undefined,
  );
  if (isFolder !== undefined && isFolder !== (kind === "oci")) {
    throw new Failure("usage", `${path} is a ${isFolder ? "folder" : "file"} already`, {
      expected: `a ${isFolder ? "file" : "folder"}, because of ${given}, or nothing`,
      hint: isFolder ? `For a folder: --to oci:${path}` : "Name another path.",
    });
  }
  if (isFolder === true) await refuseOtherFolder(path);
  await refuseUnwritable(place, isFolder === true ? path : await nearestFolder(place));
}

/** A layout is put into a folder of its own, and not among somebody's files by mistake. */
async function refuseOtherFolder(path: string): Promise<void> {
  const names = await readdir(path);
  if (names.length === 0 || names.includes("oci-layout") || names.every((name) => name === "blobs")) return;
  throw new Failure("usage", `${path} is a folder with other files, and no OCI layout`, {
    expected: "an OCI layout, an empty folder, or none yet",
    hint: `Name another folder, for instance oci:${path}/layout`,
  });
}

/** Where the file is to be, or the lowest of a layout's folders that is there already. */
async function nearestFolder({ kind, path }: FilePlace): Promise<string> {
  let folder = dirname(path);
  if (kind !== "oci") return folder;
  while (folder !== dirname(folder) && !(await exists(folder))) folder = dirname(folder);
  return folder;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function refuseUnwritable({ given }: FilePlace, folder: string): Promise<void> {
  try {
    await access(folder, constants.W_OK);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new Failure("usage", missing ? `there is no folder ${folder}` : `${folder} cannot be written to`, {
      expected: `a folder for ${given} that this user may write to`,
      hint: missing ? "Make it, or name another path." : "Name another path.",
      cause: error,
    });
  }
}

/** Lets work with a place fail as a person should be told it. */
export function explainingFor(place: FilePlace): <T>(work: Promise<T>) => Promise<T> {
  return async (work) =>
    await work.catch((error: unknown) => {
      throw placeFailure(error, place);
    });
}

/** What went wrong while the place was read or written; others as they are. */
function placeFailure(error: unknown, { path, kind }: FilePlace): unknown {
  if (error instanceof Failure) return error;
  if (error instanceof IndexFull) {
    return new Failure("refused", `${path} has no room for another image: ${error.message}`, {
      expected: "a layout that can still be read when the image is in it",
      hint: "Nothing was given its name. Name another folder, or take images out of this one.",
      cause: error,
    });
  }
  if (error instanceof InvalidImage) {
    return new Failure("not-verified", `${path} is not as it should be: ${error.message}`, {
      expected: kind === "oci" ? "a folder that is an OCI layout, and stays one" : "what was written",
      hint: "Nothing was given its name. Name another path, or mend what is there.",
      cause: error,
    });
  }
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  const full = code === "ENOSPC" || code === "EDQUOT";
  return new Failure(
    full ? "no-space" : "transfer-failed",
    full ? `there is no space left for ${path}` : `${path} cannot be written: ${messageOf(error)}`,
    {
      expected: "room for the whole image, and a folder that this user may write to",
      hint: "Nothing was given its name. Name another path, or make room.",
      cause: error,
    },
  );
}
