import { MAX_PIECE } from "../../delta/chunker.ts";
import { Failure } from "../../output/errors.ts";
import { checkPath, checkTarget, ContextTotals, invalidEntry } from "../entry-checks.ts";
import { MAX_MTIME, type ContextLimits } from "../limits.ts";
import { comparePaths } from "../paths.ts";
import { ByteReader, InvalidBytes } from "./byte-reader.ts";
import { KINDS, VERSION, type ListedEntry } from "./listing.ts";
import { DIGEST_BYTES, type Piece } from "./piece.ts";

/** Bytes of the shortest entry, a folder. A count of more entries than the bytes have room for is refused before anything is allocated. */
const SHORTEST = 5;
const MAX_MODE = 0o7777;

/**
 * Decodes a listing, which is hostile input. The returned entries are in the order of `comparePaths`, each after the folder that contains
 * it, and hard links lead to earlier files. Throws a `context-invalid` Failure.
 */
export function decodeListing(bytes: Buffer, limits: ContextLimits): ListedEntry[] {
  try {
    return new ListingDecoder(new ByteReader(bytes), limits).read();
  } catch (error) {
    if (!(error instanceof InvalidBytes)) throw error;
    throw new Failure("context-invalid", `the listing of the context is not valid: ${error.message}`, { cause: error });
  }
}

class ListingDecoder {
  readonly #from: ByteReader;
  readonly #limits: ContextLimits;
  readonly #totals: ContextTotals;
  /** The folders that contain the previous entry, from the top, and the entry itself if it is a folder. */
  readonly #folders: string[] = [];
  readonly #entries: ListedEntry[] = [];

  constructor(from: ByteReader, limits: ContextLimits) {
    this.#from = from;
    this.#limits = limits;
    this.#totals = new ContextTotals(limits);
  }

  read(): ListedEntry[] {
    if (this.#from.number() !== VERSION) throw new InvalidBytes("it has another version");
    const count = this.#from.number();
    if (count * SHORTEST > this.#from.left) throw new InvalidBytes("it has fewer entries than it declares");
    let before = "";
    for (let left = count; left > 0; left -= 1) {
      const entry = this.#entry(before);
      this.#totals.add(entry);
      this.#checkPosition(entry, before);
      this.#entries.push(entry);
      before = entry.path;
    }
    if (this.#from.left > 0) throw new InvalidBytes("bytes follow its end");
    return this.#entries;
  }

  #entry(before: string): ListedEntry {
    const head = this.#from.number();
    const common = Math.floor(head / KINDS.length);
    if (common > before.length) throw new InvalidBytes("a path is longer than the one that it begins with");
    const path = before.slice(0, common) + this.#text();
    checkPath(path, this.#limits);
    const mode = this.#from.number();
    if (mode > MAX_MODE) throw new InvalidBytes("a mode has other bits than permissions");
    const mtime = this.#mtime();
    const kind = KINDS[head % KINDS.length] as ListedEntry["kind"];
    if (kind === "file") return { kind, path, mode, mtime, ...this.#content() };
    if (kind === "folder") return { kind, path, mode, mtime };
    const target = this.#text();
    checkTarget(path, target);
    return { kind, path, mode, mtime, target };
  }

  #mtime(): number {
    const value = this.#from.number();
    const mtime = value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    if (Math.abs(mtime) > MAX_MTIME) throw new InvalidBytes("a time is out of range");
    return mtime;
  }

  #content(): { size: number; pieces: Piece[] } {
    const size = this.#from.number();
    const digest = (): string => this.#from.text(DIGEST_BYTES);
    if (size === 0) return { size, pieces: [] };
    if (size <= MAX_PIECE) return { size, pieces: [{ size, digest: digest() }] };
    const pieces: Piece[] = [];
    let left = size;
    for (let count = this.#from.number(); count > 0; count -= 1) {
      const piece = { size: this.#from.number(), digest: digest() };
      if (piece.size === 0 || piece.size > MAX_PIECE) throw new InvalidBytes("a piece has an impossible size");
      left -= piece.size;
      pieces.push(piece);
    }
    if (left !== 0) throw new InvalidBytes("the pieces of a file have another size than the file");
    return { size, pieces };
  }

  #text(): string {
    return this.#from.text(this.#from.number());
  }

  /** Finds an earlier entry with a binary search: hard links are rare, and a set of all paths costs memory. */
  #find(path: string): ListedEntry | undefined {
    let [from, to] = [0, this.#entries.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      const entry = this.#entries[middle] as ListedEntry;
      const order = comparePaths(entry.path, path);
      if (order === 0) return entry;
      if (order < 0) from = middle + 1;
      else to = middle;
    }
    return undefined;
  }

  /** Checks an entry's position among the others. */
  #checkPosition({ path, ...entry }: ListedEntry, before: string): void {
    if (before !== "" && comparePaths(before, path) >= 0) throw invalidEntry(path, "which is not in its place");
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    while (this.#folders.length > 0 && this.#folders.at(-1) !== parent) this.#folders.pop();
    if (this.#folders.length === 0 && parent !== "") throw invalidEntry(path, "which lies in no folder");
    if (entry.kind === "folder") this.#folders.push(path);
    else if (entry.kind === "hard-link" && this.#find(entry.target)?.kind !== "file") {
      throw invalidEntry(path, "a hard link to no file before it");
    }
  }
}
