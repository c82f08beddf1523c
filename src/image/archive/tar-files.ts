import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { fileNotFound, fileTooLarge, type RandomAccessFiles } from "./archive-files.ts";
import { MAX_ENTRIES } from "../tar/limits.ts";
import { InvalidImage } from "../invalid-image.ts";
import { compressionOf, MAGIC_LENGTH } from "../layer/compression.ts";
import { quoted } from "../tar/entry-path.ts";
import { addEntry, followLinks } from "../tar/links.ts";
import { readHeader, type TarHeader } from "../tar/tar-entries.ts";
import { TarHeaders } from "../tar/tar-headers.ts";

const BLOCK = 512;
/** Bytes of content read at once. */
const CHUNK = 256 * 1024;

interface EntryInFile extends TarHeader {
  /** Offset of the content's first byte in the file. */
  offset: number;
}

/**
 * Opens a tar on disk for reading in any order. Reads the headers at once, and contents on request.
 * Throws `InvalidImage` for a path that is not a regular file, and for a tar that is compressed as a whole, truncated or damaged, or has
 * two different files with the same name.
 */
export async function openTarFiles(path: string): Promise<RandomAccessFiles> {
  // A blocking open of a pipe without a writer would block a thread for ever.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    if (!(await file.stat()).isFile()) throw new InvalidImage(`${quoted(path)} is not a file`);
    return tarFiles(file, await readEntries(file));
  } catch (error) {
    await file.close();
    throw error;
  }
}

function tarFiles(file: FileHandle, entries: Map<string, EntryInFile>): RandomAccessFiles {
  const find = (path: string): EntryInFile | undefined => followLinks(entries, path);
  const stream = (path: string): Readable => {
    const entry = find(path);
    if (entry === undefined) throw fileNotFound(path);
    return Readable.from(contentOf(file, entry), { objectMode: false });
  };
  return {
    sizeOf: async (path) => find(path)?.size,
    read: async (path, limit) => {
      if ((find(path)?.size ?? 0) > limit) throw fileTooLarge(path, limit);
      const chunks: Buffer[] = [];
      for await (const chunk of stream(path)) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    },
    open: stream,
    close: async () => await file.close(),
  };
}

async function readEntries(file: FileHandle): Promise<Map<string, EntryInFile>> {
  const { size } = await file.stat();
  await refuseCompressed(file);
  const entries = new Map<string, EntryInFile>();
  const headers = new TarHeaders(file);
  let count = 0;
  for (let at = 0; at < size;) {
    const found = await headers.at(at);
    if (found === undefined) break;
    const entry = { ...readHeader(found.header), offset: found.offset };
    count += 1;
    if (count > MAX_ENTRIES) throw new InvalidImage(`the archive has more than ${MAX_ENTRIES} entries`);
    const end = entry.offset + entry.size;
    if (end > size) throw new InvalidImage(`the archive ends in the middle of ${quoted(entry.path)}`);
    await addUnlessSame(file, entries, entry);
    at = end + (-end & (BLOCK - 1));
  }
  return entries;
}

/**
 * Adds an entry. Skips a second entry with the same path and content, because some builders write a layer once for each occurrence in an
 * image. Refuses a different one, as {@link addEntry} does. In total, reads no more bytes for this than the file has.
 */
async function addUnlessSame(file: FileHandle, entries: Map<string, EntryInFile>, entry: EntryInFile): Promise<void> {
  const before = entries.get(entry.path);
  if (before !== undefined && (await areSame(file, before, entry))) return;
  addEntry(entries, entry);
}

async function areSame(file: FileHandle, one: EntryInFile, other: EntryInFile): Promise<boolean> {
  if (one.type !== other.type || one.target !== other.target || one.size !== other.size) return false;
  const chunks = contentOf(file, other);
  for await (const chunk of contentOf(file, one)) {
    const { value } = await chunks.next();
    if (value === undefined || !chunk.equals(value)) return false;
  }
  return true;
}

/**
 * Yields an entry's content. Does not use the handle's createReadStream, whose streams stay registered with the handle until it closes.
 * Throws `InvalidImage` if the file has been truncated since it was opened.
 */
async function* contentOf(
  file: FileHandle,
  { offset, size }: Pick<EntryInFile, "offset" | "size">,
): AsyncGenerator<Buffer> {
  for (let done = 0; done < size;) {
    const wanted = Math.min(size - done, CHUNK);
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, offset + done);
    if (bytesRead === 0) throw new InvalidImage("the archive was cut off while it was read");
    done += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function refuseCompressed(file: FileHandle): Promise<void> {
  const { buffer } = await file.read(Buffer.alloc(MAGIC_LENGTH), 0, MAGIC_LENGTH, 0);
  const compression = compressionOf(buffer);
  if (compression !== "none") {
    throw new InvalidImage(`the archive is compressed with ${compression} as a whole: decompress it first`);
  }
}
