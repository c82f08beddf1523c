import { open, type FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import type { Header } from "tar-stream";
import { InvalidImage } from "../manifest.ts";
import { compressionOf, MAGIC_LENGTH } from "./compression.ts";
import { quoted } from "./entry-path.ts";
import { MAX_ENTRIES } from "./limits.ts";
import { followLinks, remember } from "./links.ts";
import { notThere, tooLarge, type Files } from "./listing.ts";
import { parseTar } from "./parse-tar.ts";
import { readHeader, type TarHeader } from "./tar-entries.ts";

const BLOCK = 512;
/** Bytes read at a header: itself, and with it the headers that pax and GNU put before one. */
const HEADER_READ = 4096;
/** Bytes of content read at once. */
const PORTION = 256 * 1024;

interface Place extends TarHeader {
  /** Of the content's first byte in the file. */
  offset: number;
}

/**
 * A tar on disk, its files in any order. Its headers are read once, its contents only when they are asked for.
 * Throws `InvalidImage` for what is no tar, is packed as a whole, ends in the middle or has the same file twice.
 */
export async function openTarFiles(path: string): Promise<Files> {
  const file = await open(path);
  try {
    return tarFiles(file, await readPlaces(file));
  } catch (error) {
    await file.close();
    throw error;
  }
}

function tarFiles(file: FileHandle, places: Map<string, Place>): Files {
  const find = (path: string): Place | undefined => followLinks(places, path);
  const stream = (path: string): Readable => {
    const place = find(path);
    if (place === undefined) throw notThere(path);
    return Readable.from(bytesOf(file, place.offset, place.size), { objectMode: false });
  };
  return {
    sizeOf: async (path) => find(path)?.size,
    read: async (path, limit) => {
      if ((find(path)?.size ?? 0) > limit) throw tooLarge(path, limit);
      const chunks: Buffer[] = [];
      for await (const chunk of stream(path)) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    },
    open: stream,
    close: async () => await file.close(),
  };
}

async function readPlaces(file: FileHandle): Promise<Map<string, Place>> {
  const { size } = await file.stat();
  await refusePacked(file);
  const places = new Map<string, Place>();
  let count = 0;
  for (let at = 0; at < size;) {
    const place = await readPlace(file, at, size);
    if (place === undefined) break;
    count += 1;
    if (count > MAX_ENTRIES) throw new InvalidImage(`the archive has more than ${MAX_ENTRIES} entries`);
    const end = place.offset + place.size;
    if (end > size) throw new InvalidImage(`the archive ends in the middle of ${quoted(place.path)}`);
    remember(places, place);
    at = end + (-end & (BLOCK - 1));
  }
  return places;
}

/** The header at `at`, by a parser of its own, so that the content need not be read to get to the next. */
async function readPlace(file: FileHandle, at: number, size: number): Promise<Place | undefined> {
  const { parser, reason, stop } = parseTar(bytesOf(file, at, size - at, HEADER_READ));
  try {
    for await (const { header } of parser) {
      const { byteOffset } = header as Header & { byteOffset: number };
      return { ...readHeader(header), offset: at + byteOffset };
    }
  } catch (error) {
    throw reason(error);
  } finally {
    await stop();
  }
}

/**
 * A part of the file. Not by the handle's createReadStream, whose streams stay registered with the handle until it closes.
 * Fails with `InvalidImage` when the file has become shorter.
 */
async function* bytesOf(file: FileHandle, offset: number, size: number, portion = PORTION): AsyncGenerator<Buffer> {
  for (let done = 0; done < size;) {
    const wanted = Math.min(size - done, portion);
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
    throw new InvalidImage(`the archive is packed with ${compression} as a whole: unpack it first`);
  }
}
