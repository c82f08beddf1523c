import { access, constants, readdir, stat } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import type { FileLocation } from "../image/location.ts";
import { Failure } from "../output/errors.ts";

/** Bytes of one name of a path, and of a whole one, on any file system of Linux, macOS and Windows that is in use. */
const MAX_NAME = 255;
const MAX_PATH = 4096;
/** What is below a layout's folder: `blobs/sha256/`, a digest, and what says of a part whose it is. */
const BELOW_LAYOUT = 140;

/** Fails when no layout can be put there, before anything is asked for. */
export async function refuseLayoutLocation(location: FileLocation): Promise<void> {
  const { path, given } = location;
  refuseName(location, BELOW_LAYOUT);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return await refuseUnwritable(location, await nearestFolder(path));
  if (!found.isDirectory()) {
    throw new Failure("usage", `${path} is a file already`, {
      expected: `a folder, because of ${given}, or nothing`,
      hint: "Name another path.",
    });
  }
  await refuseOtherFolder(path);
  for (const folder of [path, join(path, "blobs"), join(path, "blobs/sha256")]) {
    if (await exists(folder)) await refuseUnwritable(location, folder);
  }
}

/** Fails for names that no file system takes. `more`: bytes that come behind the path. */
export function refuseName({ path, given }: FileLocation, more = 0): void {
  const whole = resolve(path);
  const longest = Math.max(...whole.split(sep).map((name) => Buffer.byteLength(name)));
  if (longest <= MAX_NAME && Buffer.byteLength(whole) + more < MAX_PATH) return;
  throw new Failure("usage", `the path of ${given.slice(0, 60)}… is too long`, {
    expected: `names of at most ${MAX_NAME} bytes, and ${MAX_PATH - more} in all`,
    hint: "Name another path.",
  });
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

/** The lowest of a layout's folders that is there already. */
async function nearestFolder(path: string): Promise<string> {
  let folder = dirname(path);
  while (folder !== dirname(folder) && !(await exists(folder))) folder = dirname(folder);
  return folder;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** Fails for what is no folder that this user may write to. */
export async function refuseUnwritable({ given }: FileLocation, folder: string): Promise<void> {
  try {
    if (!(await stat(folder)).isDirectory()) throw Object.assign(new Error("no folder"), { code: "ENOTDIR" });
    await access(folder, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isMissing = code === "ENOENT" || code === "ENOTDIR";
    throw new Failure("usage", isMissing ? `there is no folder ${folder}` : `${folder} cannot be written to`, {
      expected: `a folder for ${given} that this user may write to`,
      hint: isMissing ? "Make it, or name another path." : "Name another path.",
      cause: error,
    });
  }
}
