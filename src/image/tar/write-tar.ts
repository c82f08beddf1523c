import { createReadStream } from "node:fs";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { pack, type Pack } from "tar-stream";

/** A file to write into a tar. Its path must be ASCII and have at most 100 bytes, because other paths need more headers. */
export type FileToWrite = { path: string } & (
  | { content: Uint8Array }
  /** A file of exactly `size` bytes in the file system. */
  | { file: string; size: number }
  /** A stream of exactly `size` bytes, opened when it is needed, and read to its end or destroyed. */
  | { open: () => Promise<Readable>; size: number }
);

/** A tar as a stream. */
export interface TarStream extends Readable {
  /** Bytes of the whole tar. */
  readonly size: number;
}

const BLOCK = 512;
/** Two empty blocks end a tar. */
const END = 2 * BLOCK;

/**
 * Writes a tar (POSIX ustar) of world-readable files owned by root. The same files give the same bytes. Reads no file before the stream is
 * read. The stream fails if the size of a file differs from `size`.
 */
export function writeTar(files: readonly FileToWrite[]): TarStream {
  const size = files.reduce((sum, file) => sum + BLOCK + padded(sizeOf(file)), END);
  return Object.assign(streamTar(files), { size });
}

/** Writes the same tar from files that become available one after the other. */
export function streamTar(files: Iterable<FileToWrite> | AsyncIterable<FileToWrite>): Readable {
  return Readable.from(chunksOf(files), { objectMode: false });
}

async function* chunksOf(files: Iterable<FileToWrite> | AsyncIterable<FileToWrite>): AsyncGenerator<Buffer> {
  const tar = pack();
  const filled = fill(tar, files);
  filled.catch(() => {}); // awaited below, unless the reader leaves earlier
  try {
    yield* tar as AsyncIterable<Buffer>;
    await filled;
  } finally {
    tar.destroy();
  }
}

async function fill(tar: Pack, files: Iterable<FileToWrite> | AsyncIterable<FileToWrite>): Promise<void> {
  try {
    for await (const file of files) {
      const entry = tar.entry({ name: file.path, size: sizeOf(file), mode: 0o644, mtime: new Date(0) });
      entry.on("error", () => {}); // reported by the pipeline, or by the tar
      await pipeline(await sourceOf(file), entry as unknown as Writable);
    }
    tar.finalize();
  } catch (error) {
    tar.destroy(error as Error);
    throw error;
  }
}

async function sourceOf(file: FileToWrite): Promise<Readable> {
  if ("content" in file) return Readable.from([file.content]);
  return "open" in file ? await file.open() : createReadStream(file.file);
}

function sizeOf(file: FileToWrite): number {
  return "content" in file ? file.content.length : file.size;
}

function padded(size: number): number {
  return size + (-size & (BLOCK - 1));
}
