import { MAX_PIECE, pieceLength } from "./chunker.ts";
import { isExtension, readExtension, type HeaderOverride } from "./extension-header.ts";
import { BLOCK, FIELD, isZeros, isHeader, readPath, readSize } from "./tar-block.ts";

/** A part of a tar. `bytes` is a view into a buffer of about a megabyte, which is not reused. */
export type Segment =
  /** A header, padding, or other bytes between the files. */
  | { kind: "literal"; bytes: Buffer }
  /**
   * A piece: a file or a part of it, at most {@link MAX_PIECE} bytes. `path` is the path in the tar; undefined for data that is not a tar.
   */
  | { kind: "content"; bytes: Buffer; path: string | undefined };

/** A file of up to this many bytes is one piece: boundaries within it would cost more in keys than they save. */
const WHOLE = 64 * 1024;
/** A file of up to this many bytes is a literal: a key costs 8 incompressible bytes, such a file hardly more. */
const TINY = 32;
/** Bytes that are cut at a time, plus space for a piece that is still incomplete. */
const WINDOW = 1024 * 1024 + MAX_PIECE;
/** The maximum length of a literal in bytes. It makes the segments independent of the chunks of the input. */
const MAX_LITERAL = 64 * 1024;
/** The maximum length of an extension header in bytes. A longer one is not parsed. */
const MAX_EXTENSION = 1024 * 1024;

/**
 * Cuts a tar into pieces at the boundaries of its files, and large files by their content ({@link pieceLength}). The concatenated
 * segments are exactly the input, and do not depend on how the input is chunked. From the first byte that is not part of a tar on, all data
 * is content. Yields batches, which are never empty. Uses some megabytes of memory, whatever sizes the headers claim. Closes `tar`'s
 * iterator when it is itself closed.
 */
export async function* cutTar(tar: AsyncIterable<Uint8Array>): AsyncGenerator<Segment[]> {
  const cutter = new TarCutter();
  let window = Buffer.allocUnsafeSlow(WINDOW);
  let filled = 0;
  for await (const chunk of tar) {
    for (let taken = 0; taken < chunk.length;) {
      const part = chunk.subarray(taken, taken + WINDOW - filled);
      window.set(part, filled);
      filled += part.length;
      taken += part.length;
      if (filled < WINDOW) continue;
      const { segments, end } = cutter.cut(window, false);
      yield segments;
      // A new buffer, because the caller may hold on to the segments.
      const next = Buffer.allocUnsafeSlow(WINDOW);
      filled = window.copy(next, 0, end);
      window = next;
    }
  }
  const { segments } = cutter.cut(window.subarray(0, filled), true);
  if (segments.length > 0) yield segments;
}

/** The next part of the tar. Sizes are those that the headers claim, in bytes. */
type Expecting =
  | { part: "header" }
  /** The content of an extension header; `body` is undefined when it is too long to be parsed. */
  | { part: "extension"; type: string; left: number; padding: number; body: Buffer[] | undefined }
  /** A block of the map of a sparse file in GNU's old format. The content follows the map. */
  | { part: "sparse map"; size: number; path: string }
  | { part: "content"; left: number; padding: number; whole: boolean; path: string }
  | { part: "padding"; left: number }
  | { part: "no tar" };

class TarCutter {
  #expecting: Expecting = { part: "header" };
  #override: HeaderOverride = {};
  #segments: Segment[] = [];

  /**
   * Cuts `window` until less than {@link MAX_PIECE} bytes are left, so that no segment depends on where the window ends. Cuts the last
   * window to its end. Returns the segments, and the offset of the first byte after them.
   */
  cut(window: Buffer, isLast: boolean): { segments: Segment[]; end: number } {
    this.#segments = [];
    const enough = isLast ? 1 : MAX_PIECE;
    let at = 0;
    while (window.length - at >= enough) at += this.#step(window, at);
    return { segments: this.#segments, end: at };
  }

  /** Adds the segment that begins at `at`, if any, and returns its length. */
  #step(window: Buffer, at: number): number {
    const now = this.#expecting;
    if (now.part === "header") return this.#header(window, at);
    if (now.part === "sparse map") return this.#sparseMap(window, at, now);
    if (now.part === "no tar") return this.#content(window, at, pieceLength(window, at, window.length), undefined);
    const most = Math.min(window.length, at + now.left);
    if (now.part === "content") {
      const length = now.whole ? most - at : pieceLength(window, at, most);
      now.left -= length;
      if (now.left === 0) this.#expectPadding(now.padding);
      return length <= TINY && now.whole
        ? this.#literal(window, at, length)
        : this.#content(window, at, length, now.path);
    }
    const length = Math.min(most - at, MAX_LITERAL);
    now.left -= length;
    if (now.part === "extension") {
      now.body?.push(window.subarray(at, at + length));
      if (now.left === 0) this.#applyExtension(now.type, now.body, now.padding);
    } else if (now.left === 0) this.#expecting = { part: "header" };
    return this.#literal(window, at, length);
  }

  #header(window: Buffer, at: number): number {
    const isWhole = window.length - at >= BLOCK;
    if (isWhole && isZeros(window, at, at + BLOCK)) return this.#literal(window, at, BLOCK);
    const size = isWhole && isHeader(window, at) ? (this.#override.size ?? readSize(window, at)) : undefined;
    if (size === undefined || !Number.isSafeInteger(size + BLOCK)) {
      this.#expecting = { part: "no tar" };
      return 0;
    }
    const type = String.fromCharCode(window[at + FIELD.type[0]] as number);
    const path = this.#override.path ?? readPath(window, at);
    if (isExtension(type)) this.#expectExtension(type, size);
    else {
      this.#override = {};
      if (type === "S" && window[at + IS_EXTENDED.header] !== 0) this.#expecting = { part: "sparse map", size, path };
      else if (!WITHOUT_CONTENT.has(type)) this.#expectContent(size, path);
    }
    return this.#literal(window, at, BLOCK);
  }

  #sparseMap(window: Buffer, at: number, { size, path }: { size: number; path: string }): number {
    const length = Math.min(BLOCK, window.length - at);
    if (window[at + IS_EXTENDED.map] === 0) this.#expectContent(size, path);
    return this.#literal(window, at, length);
  }

  #expectExtension(type: string, left: number): void {
    const body = left > MAX_EXTENSION ? undefined : [];
    if (left > 0) this.#expecting = { part: "extension", type, left, padding: paddingOf(left), body };
  }

  #applyExtension(type: string, body: Buffer[] | undefined, padding: number): void {
    if (body !== undefined) this.#override = { ...this.#override, ...readExtension(type, Buffer.concat(body)) };
    this.#expectPadding(padding);
  }

  #expectContent(left: number, path: string): void {
    if (left === 0) this.#expecting = { part: "header" };
    else this.#expecting = { part: "content", left, padding: paddingOf(left), whole: left <= WHOLE, path };
  }

  #expectPadding(left: number): void {
    this.#expecting = left === 0 ? { part: "header" } : { part: "padding", left };
  }

  #literal(window: Buffer, at: number, length: number): number {
    this.#segments.push({ kind: "literal", bytes: window.subarray(at, at + length) });
    return length;
  }

  #content(window: Buffer, at: number, length: number, path: string | undefined): number {
    this.#segments.push({ kind: "content", bytes: window.subarray(at, at + length), path });
    return length;
  }
}

/** Links, devices, folders and pipes. They have no content, whatever their size field: engines read tars with Go, which ignores it. */
const WITHOUT_CONTENT = new Set(["1", "2", "3", "4", "5", "6"]);

/** Offset of the byte that announces a further block of the sparse map: in a header, and in a block of the map. */
const IS_EXTENDED = { header: 482, map: 504 };

function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}
