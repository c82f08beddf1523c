import type { FileHandle } from "node:fs/promises";
import { isHeader, isZeros } from "../../delta/tar-block.ts";
import { Failure } from "../../output/errors.ts";
import { invalidEntry } from "../entry-checks.ts";
import { MAX_MTIME } from "../limits.ts";
import { readHeader } from "./read-header.ts";
import { EXTENSIONS, MAX_EXTENSION, readExtension, type Extension } from "./tar-extension.ts";
import { BLOCK, TYPE } from "./tar-header.ts";

/** Bytes read at once: the headers of small files lie close together. */
const WINDOW = 256 * 1024;
/** The hint for an archive that is not a tar. */
const WRITE_AGAIN = "Write it again, for instance with git archive HEAD.";

/** An entry of a tar, verbatim. Texts have one character for each byte. */
export interface TarRecord {
  kind: "file" | "folder" | "symlink" | "hard-link";
  name: string;
  /** The target of a link */
  target: string;
  mode: number;
  /** µs since 1970 */
  mtime: number;
  /** Bytes of content. 0 unless the entry is a file */
  size: number;
  /** The offset of the content in the tar */
  offset: number;
}

/**
 * Reads the entries of a tar in a file (pax(1), "ustar Interchange Format", with the extensions of pax and GNU), without their contents.
 * The file stays open. Throws a `context-invalid` Failure for a file that is not a tar or is truncated, and for entries that a context
 * cannot have.
 */
export async function* tarRecords(file: FileHandle): AsyncGenerator<TarRecord> {
  const blocks = new Blocks(file, (await file.stat()).size);
  let more: Extension = {};
  for (let at = 0; ;) {
    if (at + BLOCK > blocks.size) throw at === 0 ? notTar() : cutOff();
    const block = await blocks.read(at, BLOCK);
    if (isZeros(block, 0, BLOCK)) return;
    if (!isHeader(block, 0)) throw at === 0 ? notTar() : damaged(at);
    const header = readHeader(block);
    const size = more.size ?? header.size;
    const content = at + BLOCK;
    if (!Number.isSafeInteger(size) || size < 0) throw damaged(at);
    if (content + size > blocks.size) throw cutOff(more.path ?? header.name);
    at = content + size + (-size & (BLOCK - 1));
    if (EXTENSIONS.has(header.type)) {
      if (size > MAX_EXTENSION) throw damaged(at);
      Object.assign(more, readExtension(header.type, await blocks.read(content, size)));
      continue;
    }
    const name = more.path ?? header.name;
    const kind = kindOf(header.type, name, more.isSparse === true);
    yield {
      kind,
      name,
      target: more.target ?? header.target,
      mode: header.mode,
      mtime: possibleTime(more.mtime ?? header.mtime * 1e6),
      size: kind === "file" ? size : 0,
      offset: content,
    };
    // Some programs write the size of the linked file into links, which have no content. Go's archive/tar also ignores that size.
    if (kind !== "file") at = content;
    more = {};
  }
}

/** Replaces a time that is not a number or is centuries away: it does not make a file unusable. */
function possibleTime(mtime: number): number {
  return Number.isNaN(mtime) ? 0 : Math.max(-MAX_MTIME, Math.min(MAX_MTIME, mtime));
}

function kindOf(type: string, name: string, isSparse: boolean): TarRecord["kind"] {
  if (isSparse || type === "S") {
    throw invalidEntry(name, "which is a sparse file", { hint: "Write the archive without --sparse." });
  }
  if (type === TYPE.file || type === "\0" || type === TYPE.contiguous) return name.endsWith("/") ? "folder" : "file";
  if (type === TYPE.folder) return "folder";
  if (type === TYPE.symlink) return "symlink";
  if (type === TYPE.hardLink) return "hard-link";
  const others: Record<string, string> = { "3": "which is a device", "4": "which is a device", "6": "which is a fifo" };
  throw invalidEntry(name, others[type] ?? `of the unknown type ${JSON.stringify(type)}`, {
    expected: "files, folders and links",
  });
}

/** Reads a file through a window of {@link WINDOW} bytes. */
class Blocks {
  readonly size: number;
  readonly #file: FileHandle;
  #window: Buffer = Buffer.alloc(0);
  #start = 0;

  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.size = size;
  }

  async read(at: number, length: number): Promise<Buffer> {
    const from = at - this.#start;
    if (from >= 0 && from + length <= this.#window.length) return this.#window.subarray(from, from + length);
    const window = Buffer.allocUnsafe(Math.max(WINDOW, length));
    const { bytesRead } = await this.#file.read(window, 0, window.length, at);
    if (bytesRead < length) throw cutOff();
    this.#window = window.subarray(0, bytesRead);
    this.#start = at;
    return this.#window.subarray(0, length);
  }
}

function notTar(): Failure {
  return new Failure("context-invalid", "the context is not a tar archive", { expected: "a tar", hint: WRITE_AGAIN });
}

function damaged(at: number): Failure {
  return new Failure("context-invalid", `the archive of the context is damaged at byte ${at}`, {
    expected: "a tar",
    hint: WRITE_AGAIN,
  });
}

function cutOff(name?: string): Failure {
  if (name !== undefined) return invalidEntry(name, "in which the archive is cut off");
  return new Failure("context-invalid", "the archive of the context is cut off", {
    expected: "the blocks of zeros that end a tar",
    hint: "Write it again, and check that it is sent whole.",
  });
}
