import type { FrameReader, FrameWriter, Column } from "./frame.ts";
import { InvalidRecipe } from "./recipe-errors.ts";
import { BLOCK, checksum, FIELD, readSize } from "./tar-block.ts";

type Field = keyof typeof FIELD;

/**
 * Bits of the operand, one for each field that differs. Fields that often differ have the lowest bits: four bits fit into an op of one
 * byte.
 */
const SIZE = 1;
const MTIME = 2;
const NAME = 4;
const TYPE = 8;

/** Fields that are encoded as their bytes that differ from the last header of the same type: name, column, bit. */
const BYTE_FIELDS = [
  ["name", "names", NAME],
  ["mode", "raw", 1 << 4],
  ["ids", "raw", 1 << 5],
  ["link", "names", 1 << 6],
  ["owner", "raw", 1 << 7],
  ["prefix", "names", 1 << 8],
  ["rest", "raw", 1 << 9],
  // Only if the digits differ from the usual notation of the number.
  ["size", "raw", 1 << 10],
  ["mtime", "raw", 1 << 11],
  ["checksum", "raw", 1 << 12],
] as const satisfies [Field, Column, number][];
const ALL = 2 ** 13 - 1;

const DIGITS = 11;
const [SIZE_AT] = FIELD.size;
const [MTIME_AT] = FIELD.mtime;
const [TYPE_AT] = FIELD.type;
const [CHECKSUM_AT, CHECKSUM_LENGTH] = FIELD.checksum;

/**
 * Encodes and decodes headers as differences from the last header of the same type. Writer and reader each have an instance, which
 * stores one header of each type, at most 256.
 */
export class HeaderDiff {
  readonly #last = new Map<number, Buffer>();
  #type = 0;
  #mtime = 0;

  /** The size field of the last header. */
  get size(): number | undefined {
    const last = this.#last.get(this.#type);
    return last === undefined ? undefined : readSize(last, 0);
  }

  /** Writes the fields of a block that differ, and returns their bits. Any block can be encoded, but only headers take few bytes. */
  write(header: Buffer, columns: FrameWriter): number {
    const type = header[TYPE_AT] as number;
    let mask = type === this.#type ? 0 : TYPE;
    if (mask === TYPE) columns.number("raw", type);
    // The header that the reader computes from the numbers and the checksum. Fields that are equal to it need no bytes.
    const expected = this.#lastOf(type);
    const size = newNumber(header, expected, SIZE_AT);
    if (size !== undefined) {
      mask |= SIZE;
      columns.number("numbers", size);
      writeDigits(expected, SIZE_AT, size);
    }
    const mtime = newNumber(header, expected, MTIME_AT);
    if (mtime !== undefined) {
      mask |= MTIME;
      columns.signed("numbers", mtime - this.#mtime);
      writeDigits(expected, MTIME_AT, mtime);
    }
    writeChecksum(expected, checksum(header, 0));
    for (const [name, column, bit] of BYTE_FIELDS) {
      const [before, now] = [fieldOf(expected, name), fieldOf(header, name)];
      if (now.equals(before)) continue;
      mask |= bit;
      writeBytes(columns, column, before, now);
    }
    this.#remember(type, header);
    return mask;
  }

  /** Returns the block in which the fields of `mask` differ, as a new buffer. Throws {@link InvalidRecipe}. */
  read(mask: number, columns: FrameReader): Buffer {
    if (mask > ALL) throw new InvalidRecipe("a header of the recipe has unknown fields");
    const type = mask & TYPE ? columns.number("raw") : this.#type;
    if (type > 255) throw new InvalidRecipe("a header of the recipe has an invalid type");
    const header = this.#lastOf(type);
    if (mask & SIZE) writeDigits(header, SIZE_AT, columns.number("numbers"));
    if (mask & MTIME) writeDigits(header, MTIME_AT, this.#mtime + columns.signed("numbers"));
    for (const [name, column, bit] of BYTE_FIELDS) {
      if (name === "checksum") writeChecksum(header, checksum(header, 0));
      if (mask & bit) readBytes(columns, column, fieldOf(header, name));
    }
    this.#remember(type, header);
    return header;
  }

  /** Returns a copy of the last header of a type. */
  #lastOf(type: number): Buffer {
    const last = this.#last.get(type);
    const copy = last === undefined ? Buffer.alloc(BLOCK) : Buffer.from(last);
    copy[TYPE_AT] = type;
    return copy;
  }

  #remember(type: number, header: Buffer): void {
    this.#type = type;
    this.#last.set(type, Buffer.from(header));
    this.#mtime = readDigits(header, MTIME_AT) ?? 0;
  }
}

function fieldOf(header: Buffer, name: Field): Buffer {
  const [offset, length] = FIELD[name];
  return header.subarray(offset, offset + length);
}

/** Returns the number in `header` if it differs from the one in `before`; undefined if it is equal, or not written in octal digits. */
function newNumber(header: Buffer, before: Buffer, start: number): number | undefined {
  const number = readDigits(header, start);
  return number === readDigits(before, start) ? undefined : number;
}

/** Reads eleven octal digits, the notation of most tars. Returns undefined for other notations. */
function readDigits(header: Buffer, start: number): number | undefined {
  let value = 0;
  for (let at = start; at < start + DIGITS; at += 1) {
    const digit = (header[at] as number) - 0x30;
    if (digit < 0 || digit > 7) return undefined;
    value = value * 8 + digit;
  }
  return value;
}

function writeDigits(header: Buffer, start: number, value: number): void {
  if (value < 0 || value >= 8 ** DIGITS) throw new InvalidRecipe("a number in a header of the recipe is out of range");
  header.write(value.toString(8).padStart(DIGITS, "0"), start, "latin1");
}

/** Writes the checksum in the notation of nearly all tars: six octal digits, NUL, space. */
function writeChecksum(header: Buffer, sum: number): void {
  header.write(`${sum.toString(8).padStart(CHECKSUM_LENGTH - 2, "0")}\0 `, CHECKSUM_AT, "latin1");
}

/** Writes the length of the common prefix, the length of the bytes after it, and these bytes. The rest of the field is zeros. */
function writeBytes(columns: FrameWriter, column: Column, before: Buffer, now: Buffer): void {
  let shared = 0;
  while (shared < now.length && now[shared] === before[shared]) shared += 1;
  let end = now.length;
  while (end > shared && now[end - 1] === 0) end -= 1;
  columns.number("lengths", shared);
  columns.number("lengths", end - shared);
  columns.bytes(column, now.subarray(shared, end));
}

function readBytes(columns: FrameReader, column: Column, field: Buffer): void {
  const shared = columns.number("lengths");
  const length = columns.number("lengths");
  if (shared + length > field.length) throw new InvalidRecipe("a field of a header in the recipe is too long");
  columns.bytes(column, length).copy(field, shared);
  field.fill(0, shared + length);
}
