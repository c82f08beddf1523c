import { close, constants, open } from "node:fs";
import { Socket } from "node:net";
import type { Writable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { abortable } from "./abortable.ts";

/** ms between two looks whether somebody reads a pipe. */
const LOOK_EVERY = 50;

/** Where bytes go, one chunk after the other. */
export interface ByteSink {
  /** Resolves when all of them have been taken. Rejects with the stream's error (EPIPE where nobody reads any more), and when the signal is aborted. */
  write(chunks: AsyncIterable<Buffer>): Promise<void>;
}

/** This process's stdout, which stays open. */
export function stdoutSink(signal: AbortSignal): ByteSink {
  return { write: async (chunks) => await writeAll(process.stdout, chunks, signal) };
}

/** What `openPipe` rejects with when nobody has come to read. */
export class NoReader extends Error {
  override readonly name = "NobodyReads";
}

/**
 * A named pipe, or any other that has a path (`/dev/fd/63`). It is opened without waiting for a reader, because an `open` that waits holds a
 * thread which no signal ends. `patience`: ms for a reader to come. `onWait` is called once if it is not there at once. It is closed at the end.
 */
export async function openPipe(
  path: string,
  { signal, patience, onWait }: { signal: AbortSignal; patience: number; onWait: () => void },
): Promise<ByteSink> {
  const until = performance.now() + patience;
  for (let isFirst = true; ; isFirst = false) {
    const fd = await openForReader(path);
    if (fd !== undefined) return pipeSink(fd, signal);
    if (isFirst) onWait();
    if (performance.now() > until) throw new NoReader(`nobody has read ${path} for ${patience / 1000} s`);
    await wait(LOOK_EVERY, undefined, { signal }).catch(() => {});
    signal.throwIfAborted();
  }
}

/** Undefined where nobody reads. */
async function openForReader(path: string): Promise<number | undefined> {
  try {
    return await promisify(open)(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENXIO") return undefined;
    throw error;
  }
}

/** It is written to when it can take something: a reader that stands still holds no thread either. */
async function pipeSink(fd: number, signal: AbortSignal): Promise<ByteSink> {
  let pipe: Socket;
  try {
    pipe = new Socket({ fd, readable: false, writable: true }); // owns it from here on
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
  stream.on("error", () => {}); // each write hears of it
  for await (const chunk of chunks) {
    const written = new Promise<void>((resolve, reject) => {
      stream.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
    await abortable(written, signal);
  }
}
