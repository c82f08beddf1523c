import { InvalidRecipe } from "./recipe-errors.ts";

/**
 * A recipe is a sequence of frames. A frame stores values of one kind together, in a column, because similar values compress better next
 * to each other. It is encoded as the length of each column (4 bytes, little-endian), followed by the columns.
 */
export const COLUMNS = ["ops", "lengths", "names", "numbers", "raw", "keys"] as const;
export type Column = (typeof COLUMNS)[number];

/** A frame is sent when it has this many bytes: about one frame for each 10,000 files. */
const FRAME = 256 * 1024;
/** The maximum size of a frame in bytes. A frame is sent when it is full, and a segment is never split between frames. */
const MAX_FRAME = 1024 * 1024;
/** Bytes of a frame's header, which contains the lengths of the columns. */
export const FRAME_HEADER = 4 * COLUMNS.length;

/** A growing buffer. */
class Bytes {
  #bytes = Buffer.allocUnsafe(1024);
  length = 0;

  byte(value: number): void {
    this.#grow(1);
    this.#bytes[this.length++] = value;
  }

  put(bytes: Uint8Array): void {
    this.#grow(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Returns a copy of the content, and empties the buffer. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.length));
    this.length = 0;
    return taken;
  }

  #grow(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.length + more));
    this.#bytes.copy(larger, 0, 0, this.length);
    this.#bytes = larger;
  }
}

/** Collects the columns of a frame. */
export class FrameWriter {
  readonly #columns: Record<Column, Bytes> = {
    ops: new Bytes(),
    lengths: new Bytes(),
    names: new Bytes(),
    numbers: new Bytes(),
    raw: new Bytes(),
    keys: new Bytes(),
  };

  /** Appends an integer from 0 to 2^53 as a varint: 7 bits a byte, the lowest first. */
  number(column: Column, value: number): void {
    const bytes = this.#columns[column];
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes.byte((rest % 128) + 128);
    bytes.byte(rest);
  }

  /** Appends an integer that may be negative, in zigzag encoding. */
  signed(column: Column, value: number): void {
    this.number(column, value < 0 ? -2 * value - 1 : 2 * value);
  }

  bytes(column: Column, bytes: Uint8Array): void {
    this.#columns[column].put(bytes);
  }

  get isFull(): boolean {
    return COLUMNS.reduce((sum, name) => sum + this.#columns[name].length, 0) >= FRAME;
  }

  /** Returns the encoded frame, and starts an empty one. */
  frame(): Buffer {
    const columns = COLUMNS.map((name) => this.#columns[name].take());
    const header = Buffer.alloc(FRAME_HEADER);
    columns.forEach((bytes, at) => header.writeUInt32LE(bytes.length, 4 * at));
    return Buffer.concat([header, ...columns]);
  }
}

/** Returns the size of a frame in bytes, without its header. */
export function frameSize(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length, 0);
}

/** Returns the lengths of a frame's columns. Throws {@link InvalidRecipe} when the frame is too large. */
export function readFrameHeader(header: Buffer): number[] {
  const lengths = COLUMNS.map((_, at) => header.readUInt32LE(4 * at));
  if (frameSize(lengths) > MAX_FRAME) throw new InvalidRecipe("a frame of the recipe is too large");
  return lengths;
}

/**
 * Reads the columns of a frame in the order in which they were written. Throws {@link InvalidRecipe} for a short column or a malformed
 * number.
 */
export class FrameReader {
  readonly #frame: Buffer;
  readonly #at = new Map<Column, { at: number; end: number }>();

  /** @param frame without its header */
  constructor(frame: Buffer, lengths: readonly number[]) {
    this.#frame = frame;
    let at = 0;
    COLUMNS.forEach((name, index) => {
      const end = at + (lengths[index] ?? 0);
      this.#at.set(name, { at, end });
      at = end;
    });
  }

  number(column: Column): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#take(column, 1)[0] as number;
      value += (byte % 128) * scale;
      if (!Number.isSafeInteger(value)) throw new InvalidRecipe("a number in the recipe is too large");
      if (byte < 128) return value;
      if (scale > Number.MAX_SAFE_INTEGER) throw new InvalidRecipe("a number in the recipe is too long");
    }
  }

  signed(column: Column): number {
    const value = this.number(column);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** Returns a view into the frame. */
  bytes(column: Column, length: number): Buffer {
    return this.#take(column, length);
  }

  /** Whether a column has unread bytes. */
  has(column: Column): boolean {
    const { at, end } = this.#column(column);
    return at < end;
  }

  /** Whether all columns have been read to their ends. */
  get isEmpty(): boolean {
    return COLUMNS.every((name) => !this.has(name));
  }

  #take(column: Column, length: number): Buffer {
    const range = this.#column(column);
    if (length > range.end - range.at) throw new InvalidRecipe("a column of the recipe is too short");
    range.at += length;
    return this.#frame.subarray(range.at - length, range.at);
  }

  #column(name: Column): { at: number; end: number } {
    return this.#at.get(name) as { at: number; end: number };
  }
}
