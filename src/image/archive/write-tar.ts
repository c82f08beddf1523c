import { createReadStream } from "node:fs";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { pack, type Pack } from "tar-stream";

/** A file of a tar that is to be written. Its path has at most 100 bytes, all ASCII: a longer one would cost more headers. */
export type FileToWrite = { path: string } & (
  | { content: Uint8Array }
  /** Of the file system; `size` bytes, no more and no fewer when it is read. */
  | { file: string; size: number }
);

/** A tar on its way out. */
export interface TarStream extends Readable {
  /** Bytes of the whole tar. */
  readonly size: number;
}

const BLOCK = 512;
/** Two empty blocks end a tar. */
const END = 2 * BLOCK;

/**
 * Writes a tar (POSIX ustar) of files that everyone may read, owned by root. The same files give the same bytes. Nothing is
 * read before it is asked for. The stream fails when a file is not of the size that was said.
 */
export function writeTar(files: readonly FileToWrite[]): TarStream {
  const size = files.reduce((sum, file) => sum + BLOCK + padded(sizeOf(file)), END);
  return Object.assign(Readable.from(chunksOf(files), { objectMode: false }), { size });
}

async function* chunksOf(files: readonly FileToWrite[]): AsyncGenerator<Buffer> {
  const tar = pack();
  const filled = fill(tar, files);
  // Heard of below, unless the reader has left before.
  filled.catch(() => {});
  try {
    yield* tar as AsyncIterable<Buffer>;
    await filled;
  } finally {
    tar.destroy();
  }
}

async function fill(tar: Pack, files: readonly FileToWrite[]): Promise<void> {
  try {
    for (const file of files) {
      const entry = tar.entry({ name: file.path, size: sizeOf(file), mode: 0o644, mtime: new Date(0) });
      const source = "content" in file ? Readable.from([file.content]) : createReadStream(file.file);
      await pipeline(source, entry as unknown as Writable);
    }
    tar.finalize();
  } catch (error) {
    tar.destroy(error as Error);
    throw error;
  }
}

function sizeOf(file: FileToWrite): number {
  return "content" in file ? file.content.length : file.size;
}

function padded(size: number): number {
  return size + (-size & (BLOCK - 1));
}
