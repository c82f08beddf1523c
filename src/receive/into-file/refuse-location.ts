import { access, constants, readdir, stat } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import type { FileLocation } from "../../image/location.ts";
import { Failure } from "../../output/errors.ts";

/** The maximum bytes of a name and of a path that all common file systems of Linux, macOS and Windows accept. */
const MAX_NAME = 255;
const MAX_PATH = 4096;
/** The bytes of the longest path below a layout's folder: `blobs/sha256/`, a digest, and the suffix of a partial file. */
const BELOW_LAYOUT = 140;

/** Throws a `usage` Failure if no layout can be written at a location. Called before anything is requested. */
export async function refuseLayoutLocation(location: FileLocation): Promise<void> {
  const { path, given } = location;
  refuseName(location, BELOW_LAYOUT);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return await refuseUnwritable(location, await nearestFolder(path));
  if (!found.isDirectory()) {
    throw new Failure("usage", `${path} is a file`, {
      expected: `a folder, because of ${given}, or nothing`,
      hint: "Name another path.",
    });
  }
  await refuseOtherFolder(path);
  for (const folder of [path, join(path, "blobs"), join(path, "blobs/sha256")]) {
    if (await exists(folder)) await refuseUnwritable(location, folder);
  }
}

/**
 * Throws a `usage` Failure for a path that is too long for a file system.
 *
 * @param more bytes that follow the path
 */
export function refuseName({ path, given }: FileLocation, more = 0): void {
  const whole = resolve(path);
  const longest = Math.max(...whole.split(sep).map((name) => Buffer.byteLength(name)));
  if (longest <= MAX_NAME && Buffer.byteLength(whole) + more < MAX_PATH) return;
  throw new Failure("usage", `the path of ${given.slice(0, 60)}… is too long`, {
    expected: `names of at most ${MAX_NAME} bytes, and ${MAX_PATH - more} bytes in all`,
    hint: "Name another path.",
  });
}

/** Throws a `usage` Failure for a folder with other files: a layout needs a separate folder. */
async function refuseOtherFolder(path: string): Promise<void> {
  const names = await readdir(path);
  if (names.length === 0 || names.includes("oci-layout") || names.every((name) => name === "blobs")) return;
  throw new Failure("usage", `${path} is a folder with other files, not an OCI layout`, {
    expected: "an OCI layout, an empty folder, or none yet",
    hint: `Name another folder, for instance oci:${path}/layout`,
  });
}

/** Returns the nearest parent folder that exists. */
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

/** Throws a `usage` Failure unless `folder` is a folder that this user may write to. */
export async function refuseUnwritable({ given }: FileLocation, folder: string): Promise<void> {
  try {
    if (!(await stat(folder)).isDirectory()) throw Object.assign(new Error("not a folder"), { code: "ENOTDIR" });
    await access(folder, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isMissing = code === "ENOENT" || code === "ENOTDIR";
    throw new Failure("usage", isMissing ? `there is no folder ${folder}` : `${folder} cannot be written to`, {
      expected: `a folder for ${given} that this user may write to`,
      hint: isMissing ? "Create it, or name another path." : "Name another path.",
      cause: error,
    });
  }
}
