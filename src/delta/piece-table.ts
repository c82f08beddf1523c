import { randomBytes } from "node:crypto";
import { InvalidRecipe } from "./recipe-errors.ts";
import { MAX_PIECE } from "./chunker.ts";
import { Column } from "./growing-array.ts";
import type { PieceKey } from "./piece-key.ts";

/** No piece. */
const NONE = -1;
/** Slots of the table at first; a power of two. */
const SLOTS = 2 ** 15;
/** What a piece is. */
const LATER = 0; // not the first of its key, or the first of those that have been found, of one that is wanted once more
const LEFT = 1; // the first of its key, which has not been found
const FOUND = 2; // the first of its key, which has

/**
 * Which pieces a recipe needs, and where they go. Some 33 bytes for each, the table included. A Map of strings took 100 to 200, and for
 * two million twice the time; for 60,000, the same.
 */
export class PieceTable {
  // By a piece's ordinal in the recipe. A key is two numbers.
  readonly #low = new Column((length) => new Uint32Array(length));
  readonly #high = new Column((length) => new Uint32Array(length));
  readonly #offsets = new Column((length) => new Float64Array(length));
  readonly #lengths = new Column((length) => new Uint32Array(length));
  /** The ordinal of another piece of the same key. */
  readonly #next = new Column((length) => new Int32Array(length));
  readonly #state = new Column((length) => new Uint8Array(length));
  #count = 0;
  /** By a key's hash, the ordinal of its first piece, plus 1; 0 is a free slot. One that is taken is looked for in the slots behind it. */
  readonly #slots = new Column((length) => new Int32Array(length));
  #slotCount = SLOTS;
  /** Slots that are not free. */
  #used = 0;
  /** Nobody can choose keys that all fall into the same slots. */
  readonly #seed = randomBytes(8);
  readonly #deltaBases = [this.#seed.readInt32LE(0), this.#seed.readInt32LE(4)] as const;
  /** No piece before this ordinal is left. */
  #lowest = 0;
  #pieces = 0;
  /** Is a piece of so many bytes wanted? Most contents that are not are told by that alone, and need no key. */
  readonly #isLength = new Uint8Array(MAX_PIECE + 1);
  #bytes = 0;
  #allBytes = 0;

  constructor() {
    this.#slots.clear(SLOTS);
  }

  /** Pieces that were added. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of the different ones that were added. */
  get bytes(): number {
    return this.#allBytes;
  }

  /** Different ones that are not found yet, and their bytes. */
  get left(): { pieces: number; bytes: number } {
    return { pieces: this.#pieces, bytes: this.#bytes };
  }

  /** Where the lowest of them begins; Infinity when all have been found. */
  get firstOffset(): number {
    const lowest = this.#lowestLeft();
    return lowest === undefined ? Infinity : this.#offsets.get(lowest);
  }

  /** Bytes of the lowest of them; undefined when all have been found. */
  get firstLength(): number | undefined {
    const lowest = this.#lowestLeft();
    return lowest === undefined ? undefined : this.lengthOf(lowest);
  }

  /** Where the lowest of them goes, and no longer wants it. */
  takeFirst(): number[] {
    const lowest = this.#lowestLeft();
    return lowest === undefined ? [] : this.#take(lowest);
  }

  #lowestLeft(): number | undefined {
    if (this.#pieces === 0) return undefined;
    while (this.#state.get(this.#lowest) !== LEFT) this.#lowest += 1;
    return this.#lowest;
  }

  *#left(): Generator<number> {
    const lowest = this.#lowestLeft();
    if (lowest === undefined) return;
    for (let at = lowest; at < this.#count; at += 1) if (this.#state.get(at) === LEFT) yield at;
  }

  /** Bytes of those of them whose key is `among` some. */
  bytesLeft(among: (key: PieceKey) => boolean): number {
    let bytes = 0;
    for (const ordinal of this.#left()) if (among(this.#pieceKeyOf(ordinal))) bytes += this.lengthOf(ordinal);
    return bytes;
  }

  /** Throws {@link InvalidRecipe} when the same key had another length. */
  add(key: PieceKey, length: number, offset: number): void {
    const [low, high] = [lowOf(key), highOf(key)];
    const ordinal = this.#count;
    const slot = this.#slotOf(low, high);
    const first = this.#slots.get(slot) - 1;
    const isKnown = first !== NONE && this.#state.get(first) === LEFT;
    if (isKnown && this.#lengths.get(first) !== length)
      throw new InvalidRecipe("it has two lengths for the same piece");
    this.#count += 1;
    this.#low.set(ordinal, low);
    this.#high.set(ordinal, high);
    this.#offsets.set(ordinal, offset);
    this.#lengths.set(ordinal, length);
    this.#state.set(ordinal, isKnown ? LATER : LEFT);
    this.#next.set(ordinal, isKnown ? this.#next.get(first) : NONE);
    if (isKnown) return this.#next.set(first, ordinal);
    this.#slots.set(slot, ordinal + 1);
    this.#pieces += 1;
    this.#isLength[length] = 1;
    this.#bytes += length;
    this.#allBytes += length;
    // It had been found, and is wanted once more.
    if (first !== NONE) return this.#state.set(first, LATER);
    this.#used += 1;
    if (this.#used > (this.#slotCount * 3) / 4) this.#growTable();
  }

  mayWant(length: number): boolean {
    return this.#pieces > 0 && this.#isLength[length] === 1;
  }

  /** Where a piece goes, and no longer wants it. Nowhere when it is not wanted, or was found already. */
  take(key: PieceKey, length: number): number[] {
    const first = this.#slots.get(this.#slotOf(lowOf(key), highOf(key))) - 1;
    if (first === NONE || this.#state.get(first) !== LEFT || this.#lengths.get(first) !== length) return [];
    return this.#take(first);
  }

  #take(first: number): number[] {
    this.#state.set(first, FOUND);
    this.#pieces -= 1;
    this.#bytes -= this.lengthOf(first);
    return this.offsetsOf(first);
  }

  /** Where a piece goes, and those that are the same. */
  offsetsOf(ordinal: number): number[] {
    const offsets: number[] = [];
    for (let at = ordinal; at !== NONE; at = this.#next.get(at)) offsets.push(this.#offsets.get(at));
    return offsets;
  }

  lengthOf(ordinal: number): number {
    return this.#lengths.get(ordinal);
  }

  /** The pieces that are not found yet: of each that is needed several times, the first. */
  missing(): Uint32Array {
    const missing = new Uint32Array(this.#pieces);
    let at = 0;
    for (const ordinal of this.#left()) missing[at++] = ordinal;
    return missing;
  }

  #pieceKeyOf(ordinal: number): PieceKey {
    const [low, high] = [this.#low.get(ordinal), this.#high.get(ordinal)];
    return String.fromCharCode(
      low & 255,
      (low >>> 8) & 255,
      (low >>> 16) & 255,
      low >>> 24,
      high & 255,
      (high >>> 8) & 255,
      (high >>> 16) & 255,
      high >>> 24,
    );
  }

  /** The slot of a key, or the free one where it would be. */
  #slotOf(low: number, high: number): number {
    const mask = this.#slotCount - 1;
    for (let slot = this.#hashOf(low, high) & mask; ; slot = (slot + 1) & mask) {
      const ordinal = this.#slots.get(slot) - 1;
      if (ordinal === NONE || (this.#low.get(ordinal) === low && this.#high.get(ordinal) === high)) return slot;
    }
  }

  /** MurmurHash3's way to mix, with seeds. */
  #hashOf(low: number, high: number): number {
    const [one, other] = this.#deltaBases;
    let hash = Math.imul(low ^ one, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13) ^ high ^ other, 0xc2b2ae35);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    return hash ^ (hash >>> 15);
  }

  /** In its place: a second table beside it would have to be collected first. */
  #growTable(): void {
    this.#slotCount *= 2;
    this.#slots.clear(this.#slotCount);
    for (let ordinal = 0; ordinal < this.#count; ordinal += 1) {
      if (this.#state.get(ordinal) === LATER) continue;
      this.#slots.set(this.#slotOf(this.#low.get(ordinal), this.#high.get(ordinal)), ordinal + 1);
    }
  }
}

function lowOf(key: PieceKey): number {
  return (key.charCodeAt(0) | (key.charCodeAt(1) << 8) | (key.charCodeAt(2) << 16) | (key.charCodeAt(3) << 24)) >>> 0;
}

function highOf(key: PieceKey): number {
  return (key.charCodeAt(4) | (key.charCodeAt(5) << 8) | (key.charCodeAt(6) << 16) | (key.charCodeAt(7) << 24)) >>> 0;
}
