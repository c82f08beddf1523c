import { createHash } from "node:crypto";
import { readSync, writeSync } from "node:fs";
import { brotliDecompressSync } from "node:zlib";
import { MARKER, SKIPPED_STATUS } from "./remote-lines.ts";

/**
 * The code that the first programs in the remote side's Node (`node -e`) share. It is compiled for Node 10, so that an older Node can report its
 * version.
 */

/** package.json's `engines`. */
export const OLDEST_NODE = [20, 19] as const;

/** Returns whether this Node is too old, and if so reports it to the initiator. */
export function isTooOld(program: string): boolean {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const [oldest, least] = OLDEST_NODE;
  if (major > oldest || (major === oldest && minor >= least)) return false;
  pass(program, `Node ${process.versions.node} is too old`);
  return true;
}

/** Reports to the initiator that this program cannot be used. */
export function pass(program: string, reason: string): void {
  writeLine(`pass ${program} ${reason}`);
  process.exitCode = SKIPPED_STATUS;
}

/** Writes a line for the initiator. */
export function writeLine(text: string): void {
  writeSync(1, `${MARKER} ${text}\n`);
}

/**
 * Requests the bundle, and reads exactly `bytes` bytes from stdin, because other data follows. Returns undefined if the initiator has
 * disconnected.
 */
export function receive(bytes: number): Buffer | undefined {
  writeLine("send");
  const received = Buffer.alloc(bytes);
  let length = 0;
  while (length < bytes) {
    const read = readSome(received, length);
    if (read === 0) {
      process.exitCode = 1; // the initiator has disconnected: the script must try no other program
      return undefined;
    }
    length += read;
  }
  return received;
}

/** Decompresses the bundle; undefined if it is not the one with this digest. */
export function unpack(packed: Buffer, digest: string): Buffer | undefined {
  try {
    const content = brotliDecompressSync(packed);
    return digestOf(content) === digest ? content : undefined;
  } catch {
    return undefined; // damaged
  }
}

/** Returns the SHA-256 of the bytes, hexadecimal. */
export function digestOf(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

function readSome(into: Buffer, from: number): number {
  for (;;) {
    try {
      return readSync(0, into, from, into.length - from, null);
    } catch (error) {
      // stdin may be a pipe that another program has made non-blocking.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
