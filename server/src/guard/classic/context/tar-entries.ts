import {
  isTarHeader,
  isZeros,
  readTarExtension,
  readTarHeader,
  TAR_BLOCK,
  TAR_EXTENSIONS,
  tarPadding,
  type TarExtension,
} from "docker-over-ssh/builds";
import { ByteReader } from "./byte-reader.ts";
import { invalidEntry } from "./invalid-entry.ts";

/** An unchanged entry of a streamed tar. Texts have one character for each byte. */
export interface TarEntry {
  /** The type flag of its header, or `S` for a sparse file in any format */
  type: string;
  name: string;
  /** The target of a link */
  target: string;
  mode: number;
  /** µs since 1970 */
  mtime: number;
  /** Bytes of content; 0 for all entries except files */
  size: number;
  /** Content that the caller does not read is skipped */
  content: AsyncIterable<Buffer>;
}

/**
 * Maximum bytes of a pax header or a long name. A path has at most 4,095 bytes, and extended attributes need some more. Parsing larger headers would delay
 * other tenants.
 */
const MAX_EXTENSION = 64 * 1024;
/** Types without content, whatever size their headers state (as in Go's archive/tar) */
const WITHOUT_CONTENT: ReadonlySet<string> = new Set(["1", "2", "3", "4", "5", "6"]);

/**
 * Yields the entries of a tar as they arrive, up to the end that engines detect: bytes after the first block of zeros are read and ignored. A tar may also end
 * with the last byte of its last file, like the one that `docker build -f -` sends.
 *
 * Memory: one chunk and one header.
 *
 * @throws Error if the stream is no tar or is cut off; Refusal 400 `context.entry` if a header is too large
 */
export async function* tarEntries(chunks: AsyncIterable<Buffer>): AsyncGenerator<TarEntry> {
  const bytes = new ByteReader(chunks);
  try {
    let more: TarExtension = {};
    for (;;) {
      const block = await bytes.take(TAR_BLOCK);
      if (block.length === 0 && Object.keys(more).length === 0) return;
      if (block.length < TAR_BLOCK) throw new Error("the tar is cut off");
      if (isZeros(block, 0, TAR_BLOCK)) break;
      if (!isTarHeader(block, 0)) throw new Error("a header is damaged");
      const header = readTarHeader(block);
      if (TAR_EXTENSIONS.has(header.type)) {
        Object.assign(more, readTarExtension(header.type, await extensionIn(bytes, header.size)));
        continue;
      }
      const size = WITHOUT_CONTENT.has(header.type) ? 0 : (more.size ?? header.size);
      if (!Number.isSafeInteger(size) || size < 0) throw new Error("a size is damaged");
      const content = contentIn(bytes, size);
      yield {
        type: more.isSparse === true ? "S" : header.type,
        name: more.path ?? header.name,
        target: more.target ?? header.target,
        mode: header.mode,
        mtime: more.mtime ?? (Number.isFinite(header.mtime) ? header.mtime * 1e6 : 0),
        size,
        content,
      };
      for await (const rest of content) void rest;
      await bytes.take(tarPadding(size).length);
      more = {};
    }
    for (let rest = await bytes.some(Infinity); rest.length > 0;) rest = await bytes.some(Infinity);
  } finally {
    await bytes.close();
  }
}

async function extensionIn(bytes: ByteReader, size: number): Promise<Buffer> {
  if (!(size >= 0)) throw new Error("a size is damaged");
  if (size > MAX_EXTENSION) {
    throw invalidEntry(`its pax header, or its long name, has more than ${MAX_EXTENSION} bytes`);
  }
  const body = await bytes.take(size);
  const rest = tarPadding(size).length;
  if (body.length < size || (await bytes.take(rest)).length < rest) throw new Error("the tar is cut off");
  return body;
}

/** Yields `size` bytes. A second iteration continues where the first one stopped. */
function contentIn(bytes: ByteReader, size: number): AsyncIterable<Buffer> {
  let left = size;
  return {
    async *[Symbol.asyncIterator]() {
      while (left > 0) {
        const chunk = await bytes.some(left);
        if (chunk.length === 0) throw new Error("the last entry is cut off");
        left -= chunk.length;
        yield chunk;
      }
    },
  };
}
