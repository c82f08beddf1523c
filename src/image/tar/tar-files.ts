import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { InvalidImage } from "../invalid-image.ts";
import { compressionOf, MAGIC_LENGTH } from "../layer/compression.ts";
import { quoted } from "./entry-path.ts";
import { MAX_ENTRIES } from "../archive/limits.ts";
import { followLinks, addEntry } from "./links.ts";
import { fileNotFound, fileTooLarge, type RandomAccessFiles } from "../archive/archive-files.ts";
import { readHeader, type TarHeader } from "./tar-entries.ts";
import { TarHeaders } from "./tar-headers.ts";

const BLOCK = 512;
/** Bytes of content read at once. */
const PORTION = 256 * 1024;

interface FileInTar extends TarHeader {
  /** Of the content's first byte in the file. */
  offset: number;
}

/**
 * A tar on disk, its files in any order. Its headers are read once, its contents only when they are asked for.
 * Throws `InvalidImage` for what is no file or no tar, is packed as a whole, ends in the middle or has two files of one name that differ.
 */
export async function openTarFiles(path: string): Promise<RandomAccessFiles> {
  // A pipe that nobody writes to would be waited for without end, by a thread that nothing stops.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    if (!(await file.stat()).isFile()) throw new InvalidImage(`${quoted(path)} is not a file`);
    return tarFiles(file, await readEntries(file));
  } catch (error) {
    await file.close();
    throw error;
  }
}

function tarFiles(file: FileHandle, places: Map<string, FileInTar>): RandomAccessFiles {
  const find = (path: string): FileInTar | undefined => followLinks(places, path);
  const stream = (path: string): Readable => {
    const location = find(path);
    if (location === undefined) throw fileNotFound(path);
    return Readable.from(bytesOf(file, location.offset, location.size), { objectMode: false });
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

async function readEntries(file: FileHandle): Promise<Map<string, FileInTar>> {
  const { size } = await file.stat();
  await refusePacked(file);
  const places = new Map<string, FileInTar>();
  const headers = new TarHeaders(file);
  let count = 0;
  for (let at = 0; at < size;) {
    const found = await headers.at(at);
    if (found === undefined) break;
    const location = { ...readHeader(found.header), offset: found.offset };
    count += 1;
    if (count > MAX_ENTRIES) throw new InvalidImage(`the archive has more than ${MAX_ENTRIES} entries`);
    const end = location.offset + location.size;
    if (end > size) throw new InvalidImage(`the archive ends in the middle of ${quoted(location.path)}`);
    await addUnlessSame(file, places, location);
    at = end + (-end & (BLOCK - 1));
  }
  return places;
}

/**
 * A second entry of the same path is passed over when it is the same: some builders write a layer once for each time that an image has
 * it. Else it is refused, as {@link addEntry} does. What is read for that is no more than the file holds.
 */
async function addUnlessSame(file: FileHandle, places: Map<string, FileInTar>, location: FileInTar): Promise<void> {
  const before = places.get(location.path);
  if (before !== undefined && (await areSame(file, before, location))) return;
  addEntry(places, location);
}

async function areSame(file: FileHandle, one: FileInTar, other: FileInTar): Promise<boolean> {
  if (one.type !== other.type || one.target !== other.target || one.size !== other.size) return false;
  const chunks = bytesOf(file, other.offset, other.size);
  for await (const chunk of bytesOf(file, one.offset, one.size)) {
    const { value } = await chunks.next();
    if (value === undefined || !chunk.equals(value)) return false;
  }
  return true;
}

/**
 * A part of the file. Not by the handle's createReadStream, whose streams stay registered with the handle until it closes.
 * Fails with `InvalidImage` when the file has become shorter.
 */
async function* bytesOf(file: FileHandle, offset: number, size: number): AsyncGenerator<Buffer> {
  for (let done = 0; done < size;) {
    const wanted = Math.min(size - done, PORTION);
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, offset + done);
    if (bytesRead === 0) throw new InvalidImage("the archive was cut off while it was read");
    done += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function refusePacked(file: FileHandle): Promise<void> {
  const { buffer } = await file.read(Buffer.alloc(MAGIC_LENGTH), 0, MAGIC_LENGTH, 0);
  const compression = compressionOf(buffer);
  if (compression !== "none") {
    throw new InvalidImage(`the archive is compressed with ${compression} as a whole: decompress it first`);
  }
}
