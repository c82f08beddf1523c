import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { cacheFolder } from "./files/cache-folder.ts";
import { isPrivate, openPrivateFolder } from "./files/private-folder.ts";

/** Number of files that stay in the cache, 1 MB each: for two sides, and a few versions of this tool and of Node. */
const KEPT_FILES = 8;

/** Bytes of the checksum at a file's end. V8 itself compares only lengths and versions. */
const SUM_BYTES = 4;

/** Caches V8's compiled code of a file for later runs. */
export interface CodeCache {
  /** Returns the code of an earlier run; undefined if there is none that can be trusted. */
  read(): Buffer | undefined;
  /** Stores the result of `make` for the next run. Does not call `make` if there is no usable cache folder. Never throws. */
  write(make: () => Buffer): void;
}

/**
 * Returns the cache below the user's cache folder. Its content is executed, so it uses only folders that this user alone can access. Without such a
 * folder (the home folder is unknown, read-only or belongs to another user; or on Windows, where owners cannot be checked) there is no cache and no
 * message. Node's own switch, NODE_DISABLE_COMPILE_CACHE=1, also disables this cache.
 *
 * @param name must change with everything that affects the code that V8 compiles
 */
export function codeCache(name: string, env: NodeJS.ProcessEnv): CodeCache | undefined {
  const cache = cacheFolder(env);
  if (cache === undefined || process.platform === "win32" || env["NODE_DISABLE_COMPILE_CACHE"] === "1")
    return undefined;
  return {
    read() {
      try {
        const folder = join(openPrivateFolder(cache, { make: false }), "code");
        return isOurs(folder) ? readChecked(join(folder, name)) : undefined;
      } catch {
        return undefined;
      }
    },
    write(make) {
      try {
        const folder = join(openPrivateFolder(cache, { make: true }), "code");
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        if (isOurs(folder)) replace(folder, join(folder, name), make);
      } catch {
        // The next run compiles the code again.
      }
    },
  };
}

/** Returns whether a path is a real folder of this user that no other user can read. */
function isOurs(folder: string): boolean {
  const found = lstatSync(folder);
  return found.isDirectory() && isPrivate(found);
}

function readChecked(file: string): Buffer | undefined {
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const found = fstatSync(descriptor);
    if (!found.isFile() || !isPrivate(found)) return undefined;
    const bytes = readFileSync(descriptor);
    const code = bytes.subarray(0, -SUM_BYTES);
    return crc32(code) === bytes.readUInt32LE(code.length) ? code : undefined;
  } finally {
    closeSync(descriptor);
  }
}

/** Replaces a file atomically, even if several runs write it. */
function replace(folder: string, file: string, make: () => Buffer): void {
  const part = `${file}.${process.pid}-${process.hrtime.bigint().toString(36)}`;
  const descriptor = openSync(part, "wx", 0o600);
  try {
    const code = make();
    const sum = Buffer.alloc(SUM_BYTES);
    sum.writeUInt32LE(crc32(code));
    writeFileSync(descriptor, Buffer.concat([code, sum]));
    renameSync(part, file);
    removeOld(folder);
  } finally {
    closeSync(descriptor);
    rmSync(part, { force: true });
  }
}

function removeOld(folder: string): void {
  const files = readdirSync(folder).map((name) => join(folder, name));
  const age = new Map(files.map((file) => [file, lstatSync(file).mtimeMs]));
  const byAge = files.toSorted((one, other) => (age.get(other) ?? 0) - (age.get(one) ?? 0));
  for (const file of byAge.slice(KEPT_FILES)) rmSync(file, { force: true });
}
