import { InvalidRecipe } from "./recipe-errors.ts";

/**
 * A recipe's bytes by what they are: what follows what compresses better when it is among its like. They are written and read
 * frame by frame: the length of each column, 4 bytes little-endian, then the columns.
 */
export const COLUMNS = ["ops", "lengths", "names", "numbers", "texts", "keys"] as const;
export type Column = (typeof COLUMNS)[number];

/** Bytes of a frame at which it is sent: one for each 10,000 files or so. */
const FRAME = 256 * 1024;
/** Bytes of a frame at most: it is sent when it is full, and a segment is put in as a whole. */
const MAX_FRAME = 1024 * 1024;
/** A frame's lengths. */
export const FRAME_HEADER = 4 * COLUMNS.length;

/** Bytes that are put together. */
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

  /** What was put in since the last time. */
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

export class FrameWriter {
  readonly #columns: Record<Column, Bytes> = {
    ops: new Bytes(),
    lengths: new Bytes(),
    names: new Bytes(),
    numbers: new Bytes(),
    texts: new Bytes(),
    keys: new Bytes(),
  };

  /** Puts a whole number of at most 2^53 in: 7 bits a byte, the lowest first. */
  number(column: Column, value: number): void {
    const bytes = this.#columns[column];
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes.byte((rest % 128) + 128);
    bytes.byte(rest);
  }

  /** Puts one in that may be negative. */
  signed(column: Column, value: number): void {
    this.number(column, value < 0 ? -2 * value - 1 : 2 * value);
  }

  bytes(column: Column, bytes: Uint8Array): void {
    this.#columns[column].put(bytes);
  }

  get isFull(): boolean {
    return COLUMNS.reduce((sum, name) => sum + this.#columns[name].length, 0) >= FRAME;
  }

  /** All that was put in, as a frame. */
  frame(): Buffer {
    const columns = COLUMNS.map((name) => this.#columns[name].take());
    const header = Buffer.alloc(FRAME_HEADER);
    columns.forEach((bytes, at) => header.writeUInt32LE(bytes.length, 4 * at));
    return Buffer.concat([header, ...columns]);
  }
}

/** Bytes of a frame without its header. */
export function totalOf(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length, 0);
}

/** The lengths of a frame's columns. Throws {@link InvalidRecipe} for too large ones. */
export function readFrameHeader(header: Buffer): number[] {
  const lengths = COLUMNS.map((_, at) => header.readUInt32LE(4 * at));
  if (totalOf(lengths) > MAX_FRAME) throw new InvalidRecipe("a part of it is too large");
  return lengths;
}

/** Reads a frame as it was written. Throws {@link InvalidRecipe} where a column ends too early, or has what no writer puts in. */
export class FrameReader {
  readonly #frame: Buffer;
  readonly #at = new Map<Column, { at: number; end: number }>();

  /** `frame` without its header. */
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
      if (!Number.isSafeInteger(value)) throw new InvalidRecipe("a number of it is too large");
      if (byte < 128) return value;
      if (scale > Number.MAX_SAFE_INTEGER) throw new InvalidRecipe("a number of it is too long");
    }
  }

  signed(column: Column): number {
    const value = this.number(column);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  bytes(column: Column, length: number): Buffer {
    return this.#take(column, length);
  }

  /** Has a column something left? */
  has(column: Column): boolean {
    const { at, end } = this.#column(column);
    return at < end;
  }

  /** Has none something left? */
  get isEmpty(): boolean {
    return COLUMNS.every((name) => !this.has(name));
  }

  #take(column: Column, length: number): Buffer {
    const where = this.#column(column);
    if (length > where.end - where.at) throw new InvalidRecipe("a part of it is shorter than it should be");
    where.at += length;
    return this.#frame.subarray(where.at - length, where.at);
  }

  #column(name: Column): { at: number; end: number } {
    return this.#at.get(name) as { at: number; end: number };
  }
}
