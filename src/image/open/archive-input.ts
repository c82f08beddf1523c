import { fstat, open as openFile, constants, type Stats } from "node:fs";
import { open, stat } from "node:fs/promises";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import { isatty } from "node:tty";
import { promisify } from "node:util";
import { InvalidImage } from "../invalid-image.ts";
import { compressionOf, MAGIC_LENGTH } from "../layer/compression.ts";

/** The kind of an archive's file. */
export type InputKind =
  | "folder"
  /** An uncompressed file, readable in any order. */
  | "plain"
  /** A file that is compressed as a whole. */
  | "compressed"
  /** Readable once, from its beginning: stdin, a named pipe, a shell's `<(…)`. */
  | "stream";

/** Opening a pipe must not block a thread of Node's pool until it has a writer: nothing could end that wait. */
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

const STDIN = new Set(["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]);

/** Returns whether a path means this process's stdin, such as `-`. A file of that name is `./-`. */
export function isStdin(path: string): boolean {
  return STDIN.has(path);
}

/** Returns a path that can be opened: `/dev/stdin` for stdin, which must be a file (`<app.tar`), and other paths unchanged. */
export function openablePath(path: string): string {
  return isStdin(path) ? "/dev/stdin" : path;
}

/** Determines the kind of input without blocking. Throws `InvalidImage` for a terminal or another device, and the file system's errors. */
export async function inputKind(path: string): Promise<InputKind> {
  const found = isStdin(path) ? await promisify<number, Stats>(fstat)(0) : await stat(path);
  if (found.isDirectory()) return "folder";
  if (found.isFile()) return (await isCompressed(openablePath(path))) ? "compressed" : "plain";
  if (found.isFIFO() || (isStdin(path) && found.isSocket())) return "stream";
  const what = isStdin(path) && isatty(0) ? "a terminal" : "neither a file, a folder nor a pipe";
  throw new InvalidImage(`it is ${what}`);
}

/** Streams a file or a pipe from its beginning. The caller owns the stream. Destroying it also ends the wait for a writer. */
export async function openInput(path: string): Promise<Readable> {
  if (isStdin(path)) return process.stdin;
  if ((await stat(path)).isFile()) return (await open(path, READ)).createReadStream();
  const fd = await promisify<string, number, number>(openFile)(path, READ);
  return new Socket({ fd, readable: true, writable: false }); // polled: no thread waits for a writer
}

async function isCompressed(path: string): Promise<boolean> {
  const file = await open(path, READ);
  try {
    const { buffer } = await file.read(Buffer.alloc(MAGIC_LENGTH), 0, MAGIC_LENGTH, 0);
    return compressionOf(buffer) !== "none";
  } finally {
    await file.close();
  }
}
