import { fstat, open as openFile, constants, type Stats } from "node:fs";
import { open, stat } from "node:fs/promises";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import { isatty } from "node:tty";
import { promisify } from "node:util";
import { InvalidImage } from "../invalid-image.ts";
import { compressionOf, MAGIC_LENGTH } from "../layer/compression.ts";

/** What is found at an archive's path. */
export type InputKind =
  | "folder"
  /** A file whose parts can be read where they are. */
  | "plain"
  /** A file that is packed as a whole. */
  | "packed"
  /** What can be read once, from its beginning: stdin, a named pipe, `<(…)` of a shell. */
  | "stream";

/** No thread of Node's pool is to wait in open() for somebody who writes into a pipe: nothing could end that. */
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

const STDIN = new Set(["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]);

/** Is this path another name of the stdin of this process? `-` is, as for other programs; a file of that name is `./-`. */
export function isStdin(path: string): boolean {
  return STDIN.has(path);
}

/** The path by which stdin can be opened when it is a file (`<app.tar`), other paths as they are. */
export function openablePath(path: string): string {
  return isStdin(path) ? "/dev/stdin" : path;
}

/** Looks without waiting. Throws `InvalidImage` for a terminal or another device, and the file system's errors. */
export async function inputKind(path: string): Promise<InputKind> {
  const found = isStdin(path) ? await promisify<number, Stats>(fstat)(0) : await stat(path);
  if (found.isDirectory()) return "folder";
  if (found.isFile()) return (await isPacked(openablePath(path))) ? "packed" : "plain";
  if (found.isFIFO() || (isStdin(path) && found.isSocket())) return "stream";
  const what = isStdin(path) && isatty(0) ? "a terminal" : "neither a file, a folder nor a pipe";
  throw new InvalidImage(`it is ${what}`);
}

/** All that comes out of a file or a pipe. Whoever opens it owns the stream; to destroy it ends the waiting for a writer, too. */
export async function openInput(path: string): Promise<Readable> {
  if (isStdin(path)) return process.stdin;
  if ((await stat(path)).isFile()) return (await open(path, READ)).createReadStream();
  const fd = await promisify<string, number, number>(openFile)(path, READ);
  return new Socket({ fd, readable: true, writable: false }); // which is woken, and does not wait in a thread
}

async function isPacked(path: string): Promise<boolean> {
  const file = await open(path, READ);
  try {
    const { buffer } = await file.read(Buffer.alloc(MAGIC_LENGTH), 0, MAGIC_LENGTH, 0);
    return compressionOf(buffer) !== "none";
  } finally {
    await file.close();
  }
}
