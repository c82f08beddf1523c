import type { Readable } from "node:stream";
import type { Extract, Header } from "tar-stream";
import { InvalidImage } from "../invalid-image.ts";
import { entryPath, quoted } from "./entry-path.ts";
import { MAX_ENTRIES } from "../archive/limits.ts";
import { parseTar } from "./parse-tar.ts";

/** What an entry's header says. */
export interface TarHeader {
  /** As {@link entryPath} has it. */
  path: string;
  type: "file" | "directory" | "symlink" | "link";
  /** Bytes of its content, 0 for what is no file. */
  size: number;
  /** As written, for links. */
  target: string;
}

/** An entry that is passing. */
export interface PassingEntry extends TarHeader {
  /** What is left of its content. What is not taken is passed over when the next entry is asked for. */
  chunks(): AsyncGenerator<Buffer>;
}

type Entry = Extract extends AsyncIterable<infer E> ? E : never;

/**
 * The entries of a tar as they come (pax(1), "ustar Interchange Format", with pax and GNU extensions), read no faster than
 * they are taken. Owns `source`: destroyed when the loop is left early.
 *
 * Throws {@link InvalidImage} for what is no tar, ends in the middle, or has names that lead out of it; an error of
 * `source` itself and the signal's reason as they are.
 */
export async function* tarEntries(source: Readable, signal?: AbortSignal): AsyncGenerator<PassingEntry> {
  const { parser, causeOf: reason, stop } = parseTar(source, signal);
  let count = 0;
  try {
    for await (const entry of parser) {
      count += 1;
      if (count > MAX_ENTRIES) throw new InvalidImage(`the archive has more than ${MAX_ENTRIES} entries`);
      const chunks = contentOf(entry, reason);
      yield { ...readHeader(entry.header), chunks };
      for await (const chunk of chunks()) void chunk;
    }
  } catch (error) {
    throw reason(error);
  } finally {
    // First, so that a source that has stopped giving is not waited for.
    source.destroy();
    await stop();
  }
}

/** An entry's content in portions. Leaving one leaves the rest for the next: tar-stream's own loop would end the whole tar. */
function contentOf(entry: Entry, reason: (error: unknown) => unknown): () => AsyncGenerator<Buffer> {
  const content = entry[Symbol.asyncIterator]() as AsyncIterator<Buffer, unknown>;
  let last: Promise<IteratorResult<Buffer, unknown>> | undefined;
  // One at a time, also when a portion was left while it waited: tar-stream forgets the first of two that wait.
  const next = async (before: typeof last): Promise<IteratorResult<Buffer, unknown>> => {
    try {
      await before;
      return await content.next();
    } catch (error) {
      throw reason(error);
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

/** What a tar-stream header says, checked. Throws {@link InvalidImage}. */
export function readHeader({ name, type, size, linkname }: Header): TarHeader {
  const path = entryPath(name);
  if (type === "file" || type === "contiguous-file") return { path, type: "file", size, target: "" };
  if (type === "directory") return { path, type, size: 0, target: "" };
  if (type === "symlink" || type === "link") return { path, type, size: 0, target: linkname };
  throw new InvalidImage(`the archive's entry ${quoted(path)} is neither a file, a folder nor a link`);
}
