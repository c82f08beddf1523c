import type { Readable } from "node:stream";
import type { Extract, Header } from "tar-stream";
import { MAX_ENTRIES } from "./limits.ts";
import { InvalidImage } from "../invalid-image.ts";
import { normalisedPath, quoted } from "./entry-path.ts";
import { parseTar } from "./parse-tar.ts";

/** The checked header of a tar's entry. */
export interface TarHeader {
  /** In the form of {@link normalisedPath}. */
  path: string;
  type: "file" | "directory" | "symlink" | "link";
  /** Bytes of content. 0 unless the entry is a file. */
  size: number;
  /** The verbatim target of a link, else "". */
  target: string;
}

/** An entry of a streamed tar. */
export interface PassingEntry extends TarHeader {
  /** Yields the rest of the content. Unread content is skipped when the next entry is requested. */
  chunks(): AsyncGenerator<Buffer>;
}

type Entry = Extract extends AsyncIterable<infer E> ? E : never;

/**
 * Yields the entries of a tar as they arrive (pax(1), "ustar Interchange Format", with pax and GNU extensions), and reads no faster than
 * they are consumed. Owns `source`, and destroys it if the loop is left early.
 *
 * Throws {@link InvalidImage} for a file that is not a tar, is truncated, or has names that lead out of it. Throws `source`'s own error and
 * the signal's reason unchanged.
 */
export async function* tarEntries(source: Readable, signal?: AbortSignal): AsyncGenerator<PassingEntry> {
  const { parser, causeOf, stop } = parseTar(source, signal);
  let count = 0;
  try {
    for await (const entry of parser) {
      count += 1;
      if (count > MAX_ENTRIES) throw new InvalidImage(`the archive has more than ${MAX_ENTRIES} entries`);
      const chunks = contentOf(entry, causeOf);
      yield { ...readHeader(entry.header), chunks };
      for await (const chunk of chunks()) void chunk;
    }
  } catch (error) {
    throw causeOf(error);
  } finally {
    // Called first: otherwise, `stop` would wait for a stalled source.
    source.destroy();
    await stop();
  }
}

/**
 * Allows several loops over an entry's content, each of which continues where the last one ended: leaving tar-stream's own loop would end
 * the whole tar.
 */
function contentOf(entry: Entry, causeOf: (error: unknown) => unknown): () => AsyncGenerator<Buffer> {
  const content = entry[Symbol.asyncIterator]() as AsyncIterator<Buffer, unknown>;
  let last: Promise<IteratorResult<Buffer, unknown>> | undefined;
  // One read at a time, even after a loop was left during a read: tar-stream forgets the first of two pending reads.
  const next = async (before: typeof last): Promise<IteratorResult<Buffer, unknown>> => {
    try {
      await before;
      return await content.next();
    } catch (error) {
      throw causeOf(error);
    }
  };
  return async function* () {
    for (;;) {
      last = next(last);
      const { done, value } = await last;
      if (done === true) return;
      yield value;
    }
  };
}

/** Checks a tar-stream header. Throws {@link InvalidImage}. */
export function readHeader({ name, type, size, linkname }: Header): TarHeader {
  const path = normalisedPath(name);
  if (type === "file" || type === "contiguous-file") return { path, type: "file", size, target: "" };
  if (type === "directory") return { path, type, size: 0, target: "" };
  if (type === "symlink" || type === "link") return { path, type, size: 0, target: linkname };
  throw new InvalidImage(`the archive's entry ${quoted(path)} is neither a file, a folder nor a link`);
}
