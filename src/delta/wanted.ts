import { BadRecipe } from "./bad-recipe.ts";
import { MAX_PIECE } from "./chunker.ts";
import type { Key } from "./key.ts";

/** No piece. */
const NONE = -1;

/** Which pieces a recipe needs, and where they go: about 100 bytes for each, most of which go when it is found. */
export class Wanted {
  /** The ordinal of a key's first piece. In the order of the recipe: a Map keeps that in which keys came. */
  readonly #first = new Map<Key, number>();
  /** Goes on where it was: what has been taken from the Map's beginning is not looked at again. */
  #from = this.#first.entries();
  #lowest: [Key, number] | undefined;
  #offsets = new Float64Array(1024);
  #lengths = new Uint32Array(1024);
  /** The ordinal of another piece of the same key. */
  #next = new Int32Array(1024);
  #count = 0;
  /** Is a piece of so many bytes wanted? Most contents that are not are told by that alone, and need no key. */
  readonly #isLength = new Uint8Array(MAX_PIECE + 1);
  #bytes = 0;
  #allBytes = 0;

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
    return { pieces: this.#first.size, bytes: this.#bytes };
  }

  /** Where the lowest of them begins; Infinity when all have been found. */
  get firstOffset(): number {
    const lowest = this.#lowestLeft();
    return lowest === undefined ? Infinity : (this.#offsets[lowest[1]] as number);
  }

  /** Bytes of the lowest of them; undefined when all have been found. */
  get firstLength(): number | undefined {
    const lowest = this.#lowestLeft();
    return lowest && this.lengthOf(lowest[1]);
  }

  /** Where the lowest of them goes, and no longer wants it. */
  takeFirst(): number[] {
    const lowest = this.#lowestLeft();
    return lowest === undefined ? [] : this.take(lowest[0], this.lengthOf(lowest[1]));
  }

  #lowestLeft(): [Key, number] | undefined {
    const isLeft = ([key, ordinal]: [Key, number]): boolean => this.#first.get(key) === ordinal;
    if (this.#lowest !== undefined && isLeft(this.#lowest)) return this.#lowest;
    let found = this.#from.next();
    if (found.done === true && this.#first.size > 0) {
      // An iterator that has come to an end stays there.
      this.#from = this.#first.entries();
      found = this.#from.next();
    }
    this.#lowest = found.value;
    return this.#lowest;
  }

  /** Bytes of those of them whose key is `among` some. */
  bytesLeft(among: (key: Key) => boolean): number {
    let bytes = 0;
    for (const [key, ordinal] of this.#first) if (among(key)) bytes += this.lengthOf(ordinal);
    return bytes;
  }

  /** Throws {@link BadRecipe} when the same key had another length. */
  add(key: Key, length: number, offset: number): void {
    const ordinal = this.#count;
    if (ordinal === this.#offsets.length) this.#grow();
    this.#count += 1;
    this.#offsets[ordinal] = offset;
    this.#lengths[ordinal] = length;
    this.#next[ordinal] = NONE;
    const first = this.#first.get(key);
    if (first === undefined) {
      this.#first.set(key, ordinal);
      this.#isLength[length] = 1;
      this.#bytes += length;
      this.#allBytes += length;
      return;
    }
    if (this.#lengths[first] !== length) throw new BadRecipe("it has two lengths for the same piece");
    this.#next[ordinal] = this.#next[first] as number;
    this.#next[first] = ordinal;
  }

  mayWant(length: number): boolean {
    return this.#first.size > 0 && this.#isLength[length] === 1;
  }

  /** Where a piece goes, and no longer wants it. Nowhere when it is not wanted, or was found already. */
  take(key: Key, length: number): number[] {
    const first = this.#first.get(key);
    if (first === undefined || this.#lengths[first] !== length) return [];
    this.#first.delete(key);
    this.#bytes -= length;
    return this.offsetsOf(first);
  }

  /** Where a piece goes, and those that are the same. */
  offsetsOf(ordinal: number): number[] {
    const offsets: number[] = [];
    for (let at = ordinal; at !== NONE; at = this.#next[at] as number) offsets.push(this.#offsets[at] as number);
    return offsets;
  }

  lengthOf(ordinal: number): number {
    return this.#lengths[ordinal] as number;
  }

  /** The pieces that are not found yet: of each that is needed several times, the first. */
  missing(): Uint32Array {
    return Uint32Array.from(this.#first.values());
  }

  #grow(): void {
    const size = 2 * this.#count;
    const [offsets, lengths, next] = [new Float64Array(size), new Uint32Array(size), new Int32Array(size)];
    offsets.set(this.#offsets);
    lengths.set(this.#lengths);
    next.set(this.#next);
    [this.#offsets, this.#lengths, this.#next] = [offsets, lengths, next];
  }
}
