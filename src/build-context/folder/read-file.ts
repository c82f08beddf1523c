import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { open } from "node:fs/promises";
import type { ContextFile } from "../build-context.ts";
import { cannotRead, hasChanged } from "./context-failures.ts";
import { nativePath } from "../native-path.ts";
import { fingerprintOf } from "./fingerprint.ts";

/** Bytes read at a time. Smaller files are read synchronously, in 15 µs instead of 200 µs. */
const BLOCK = 256 * 1024;

/** Does not follow links, and does not block on a fifo that has replaced a file. Windows has neither flag. */
const FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/**
 * Reads a file of a folder: exactly `size` bytes, in blocks that belong to the caller. Checks the fingerprint, which contains the inode,
 * before and after reading: another file of the same name is detected, and so is a link that has replaced a folder above. Throws a Failure
 * `context-invalid` in these cases.
 */
export async function* readFile(root: string, file: ContextFile, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  if (file.size <= BLOCK) {
    const content = readSmallFile(root, file);
    if (content.length > 0) yield content;
    return;
  }
  await using handle = await open(nativePath(root, file.path), FLAGS).catch((error: unknown) => {
    throw notOpened(file, error);
  });
  checkUnchanged(file, await handle.stat());
  let rest = file.size;
  while (rest > 0) {
    signal?.throwIfAborted();
    const block = Buffer.allocUnsafe(Math.min(rest, BLOCK));
    const { bytesRead } = await handle.read(block);
    if (bytesRead === 0) throw hasChanged(file.path, "was shortened");
    rest -= bytesRead;
    yield block.subarray(0, bytesRead);
  }
  checkUnchanged(file, await handle.stat());
}

function readSmallFile(root: string, file: ContextFile): Buffer {
  let descriptor: number;
  try {
    descriptor = openSync(nativePath(root, file.path), FLAGS);
  } catch (error) {
    throw notOpened(file, error);
  }
  try {
    checkUnchanged(file, fstatSync(descriptor));
    const content = Buffer.allocUnsafe(file.size);
    let length = 0;
    while (length < file.size) {
      const bytesRead = readSync(descriptor, content, length, file.size - length, null);
      if (bytesRead === 0) throw hasChanged(file.path, "was shortened");
      length += bytesRead;
    }
    checkUnchanged(file, fstatSync(descriptor));
    return content;
  } finally {
    closeSync(descriptor);
  }
}

function checkUnchanged(file: ContextFile, stat: Stats): void {
  if (fingerprintOf(stat) !== file.fingerprint) throw hasChanged(file.path, "was changed");
}

function notOpened({ path }: ContextFile, error: unknown): Error {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") return hasChanged(path, "was removed");
  if (code === "ELOOP" || code === "ENXIO") return hasChanged(path, "was replaced");
  return cannotRead(path, error);
}
