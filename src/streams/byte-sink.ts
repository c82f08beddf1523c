import { close, constants, open } from "node:fs";
import { Socket } from "node:net";
import type { Writable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { abortable } from "./abortable.ts";

/** ms between two attempts to open a pipe that has no reader. */
const RETRY_EVERY = 50;

/** A destination for bytes: stdout or a named pipe. */
export interface ByteSink {
  /** Resolves when all chunks have been accepted. Rejects with the stream's error (EPIPE without a reader) and the signal's reason. */
  write(chunks: AsyncIterable<Buffer>): Promise<void>;
}

/** Returns this process's stdout, which stays open. */
export function stdoutSink(signal: AbortSignal): ByteSink {
  return { write: async (chunks) => await writeAll(process.stdout, chunks, signal) };
}

/** Thrown when no reader opens a pipe in time. */
export class NoReader extends Error {
  override readonly name = "NoReader";
}

/**
 * Opens a named pipe, or another pipe with a path (`/dev/fd/63`). Polls for a reader, because a blocking `open` occupies a thread that no
 * signal can interrupt. `timeout`: ms to wait for a reader. `onWait` is called once if there is no reader at first. `write` closes the
 * pipe. Rejects with {@link NoReader}, the signal's reason, and the file system's errors.
 */
export async function openPipe(
  path: string,
  { signal, timeout, onWait }: { signal: AbortSignal; timeout: number; onWait: () => void },
): Promise<ByteSink> {
  const until = performance.now() + timeout;
  for (let isFirst = true; ; isFirst = false) {
    const fd = await openForReader(path);
    if (fd !== undefined) return pipeSink(fd, signal);
    if (isFirst) onWait();
    if (performance.now() > until) throw new NoReader(`no program has read ${path} for ${timeout / 1000} s`);
    await wait(RETRY_EVERY, undefined, { signal }).catch(() => {});
    signal.throwIfAborted();
  }
}

/** Returns a file descriptor; undefined while the pipe has no reader. */
async function openForReader(path: string): Promise<number | undefined> {
  try {
    return await promisify(open)(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENXIO") return undefined;
    throw error;
  }
}

/** Writes with polling, so that a reader that stalls does not occupy a thread. */
async function pipeSink(fd: number, signal: AbortSignal): Promise<ByteSink> {
  let pipe: Socket;
  try {
    pipe = new Socket({ fd, readable: false, writable: true }); // the socket owns the descriptor from now on
  } catch (error) {
    await promisify(close)(fd);
    throw error;
  }
  return {
    async write(chunks) {
      try {
        await writeAll(pipe, chunks, signal);
      } finally {
        pipe.destroy();
      }
    },
  };
}

async function writeAll(stream: Writable, chunks: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
  stream.on("error", () => {}); // each write reports it
  for await (const chunk of chunks) {
    const written = new Promise<void>((resolve, reject) => {
      stream.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
    await abortable(written, signal);
  }
}
