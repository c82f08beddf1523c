import { MAX_PIECE, pieceLength } from "./chunker.ts";
import { isExtension, readExtension, type HeaderOverride } from "./extension-header.ts";
import { BLOCK, FIELD, isEmpty, isHeader, readPath, readSize } from "./tar-block.ts";

/** A part of a tar. Its bytes are a view into about a megabyte, which lives as long as they do. */
export type Segment =
  /** Headers, padding, and what else a tar has around its files. */
  | { kind: "literal"; bytes: Buffer }
  /** A file's content, or one piece of it: at most {@link MAX_PIECE} bytes. `path` is as written; without, it is no tar. */
  | { kind: "content"; bytes: Buffer; path: string | undefined };

/** Contents up to here are one piece: boundaries within would make more keys than they save. */
const WHOLE = 64 * 1024;
/** Contents up to here are literals: a key costs 8 bytes that cannot be compressed, such a file hardly more. */
const TINY = 32;
/** Bytes that are cut at a time; behind them the piece that is not complete yet. */
const WINDOW = 1024 * 1024 + MAX_PIECE;
/** Bytes of a literal at most, so that it does not matter how the tar came. */
const MAX_LITERAL = 64 * 1024;
/** Bytes of an extension header that are looked at. One that is longer tells neither path nor size. */
const MAX_EXTENSION = 1024 * 1024;

/**
 * Cuts a tar at its own boundaries. All segments together are its bytes, whatever they are; the same bytes give the same
 * segments, however they come. What is no tar, or is none from some point on, is content from there, cut by what it holds. Batches
 * are never empty. Some megabytes are in memory, whatever sizes it claims to have. Leaves `tar`'s iterator when it is left.
 */
export async function* cut(tar: AsyncIterable<Uint8Array>): AsyncGenerator<Segment[]> {
  const cutter = new Cutter();
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
      // A new one: whoever has the segments may keep them.
      const next = Buffer.allocUnsafeSlow(WINDOW);
      filled = window.copy(next, 0, end);
      window = next;
    }
  }
  const { segments } = cutter.cut(window.subarray(0, filled), true);
  if (segments.length > 0) yield segments;
}

/** What comes next, and how much of it. Sizes are as claimed. */
type Expecting =
  | { what: "header" }
  /** An extension header's content; `kept` is undefined when it is too long to be looked at. */
  | { what: "extension"; type: string; left: number; padding: number; kept: Buffer[] | undefined }
  /** More of the map of a sparse file of GNU's old kind, then its content. */
  | { what: "sparse map"; size: number; path: string }
  | { what: "content"; left: number; padding: number; whole: boolean; path: string }
  | { what: "padding"; left: number }
  | { what: "no tar" };

class Cutter {
  #expecting: Expecting = { what: "header" };
  #override: HeaderOverride = {};
  #segments: Segment[] = [];

  /**
   * Cuts what `window` has, at least until less than {@link MAX_PIECE} bytes are left: every step sees so many, or the last ones,
   * so none depends on where the window ends. Tells how far it has come.
   */
  cut(window: Buffer, isLast: boolean): { segments: Segment[]; end: number } {
    this.#segments = [];
    const enough = isLast ? 1 : MAX_PIECE;
    let at = 0;
    while (window.length - at >= enough) at += this.#step(window, at);
    return { segments: this.#segments, end: at };
  }

  /** Makes the segment at `at`, if there is one, and tells its length. */
  #step(window: Buffer, at: number): number {
    const now = this.#expecting;
    if (now.what === "header") return this.#header(window, at);
    if (now.what === "sparse map") return this.#sparseMap(window, at, now);
    if (now.what === "no tar") return this.#content(window, at, pieceLength(window, at, window.length), undefined);
    const most = Math.min(window.length, at + now.left);
    if (now.what === "content") {
      const length = now.whole ? most - at : pieceLength(window, at, most);
      now.left -= length;
      if (now.left === 0) this.#padding(now.padding);
      return length <= TINY && now.whole
        ? this.#literal(window, at, length)
        : this.#content(window, at, length, now.path);
    }
    const length = Math.min(most - at, MAX_LITERAL);
    now.left -= length;
    if (now.what === "extension") {
      now.kept?.push(window.subarray(at, at + length));
      if (now.left === 0) this.#extended(now.type, now.kept, now.padding);
    } else if (now.left === 0) this.#expecting = { what: "header" };
    return this.#literal(window, at, length);
  }

  #header(window: Buffer, at: number): number {
    const isWhole = window.length - at >= BLOCK;
    if (isWhole && isEmpty(window, at, at + BLOCK)) return this.#literal(window, at, BLOCK);
    const size = isWhole && isHeader(window, at) ? (this.#override.size ?? readSize(window, at)) : undefined;
    if (size === undefined || !Number.isSafeInteger(size + BLOCK)) {
      this.#expecting = { what: "no tar" };
      return 0;
    }
    const type = String.fromCharCode(window[at + FIELD.type[0]] as number);
    const path = this.#override.path ?? readPath(window, at);
    if (isExtension(type)) this.#expectExtension(type, size);
    else {
      this.#override = {};
      if (type === "S" && window[at + IS_EXTENDED.header] !== 0) this.#expecting = { what: "sparse map", size, path };
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
    const kept = left > MAX_EXTENSION ? undefined : [];
    if (left > 0) this.#expecting = { what: "extension", type, left, padding: paddingOf(left), kept };
  }

  #extended(type: string, kept: Buffer[] | undefined, padding: number): void {
    if (kept !== undefined) this.#override = { ...this.#override, ...readExtension(type, Buffer.concat(kept)) };
    this.#padding(padding);
  }

  #expectContent(left: number, path: string): void {
    if (left === 0) this.#expecting = { what: "header" };
    else this.#expecting = { what: "content", left, padding: paddingOf(left), whole: left <= WHOLE, path };
  }

  #padding(left: number): void {
    this.#expecting = left === 0 ? { what: "header" } : { what: "padding", left };
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

/** Links, devices, folders and pipes have none, whatever size they give: so Go reads a tar, in which engines are written. */
const WITHOUT_CONTENT = new Set(["1", "2", "3", "4", "5", "6"]);

/** The byte that says that a sparse file's map goes on in a block of its own: in its header, and in such a block. */
const IS_EXTENDED = { header: 482, map: 504 };

function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}
