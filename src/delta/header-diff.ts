import type { FrameReader, FrameWriter, Column } from "./frame.ts";
import { InvalidRecipe } from "./recipe-errors.ts";
import { BLOCK, checksum, FIELD, readSize } from "./tar-block.ts";

type Field = keyof typeof FIELD;

/** The bits that say which fields differ. Those that differ often come first: four of them fit into an op of one byte. */
const SIZE = 1;
const MTIME = 2;
const NAME = 4;
const TYPE = 8;

/** Fields that are told by what they do not have in common with the last header of their type: in which column, and their bits. */
const TEXTS = [
  ["name", "names", NAME],
  ["mode", "texts", 1 << 4],
  ["ids", "texts", 1 << 5],
  ["link", "names", 1 << 6],
  ["owner", "texts", 1 << 7],
  ["prefix", "names", 1 << 8],
  ["rest", "texts", 1 << 9],
  // Where they are not the numbers that are expected, or written in another way.
  ["size", "texts", 1 << 10],
  ["mtime", "texts", 1 << 11],
  ["checksum", "texts", 1 << 12],
] as const satisfies [Field, Column, number][];
const ALL = 2 ** 13 - 1;

const DIGITS = 11;
const [SIZE_AT] = FIELD.size;
const [MTIME_AT] = FIELD.mtime;
const [TYPE_AT] = FIELD.type;
const [CHECKSUM_AT, CHECKSUM_LENGTH] = FIELD.checksum;

/**
 * Headers told by what they do not have in common with the ones before. Writer and reader each have one, which knows the
 * last header of every type: 256 at most.
 */
export class HeaderDiff {
  readonly #last = new Map<number, Buffer>();
  #type = 0;
  #mtime = 0;

  /** The size that the last header gives. */
  get size(): number | undefined {
    const last = this.#last.get(this.#type);
    return last === undefined ? undefined : readSize(last, 0);
  }

  /** Tells which fields of a block differ, and writes these. It need be no header; one that is not costs more. */
  write(header: Buffer, columns: FrameWriter): number {
    const type = header[TYPE_AT] as number;
    let mask = type === this.#type ? 0 : TYPE;
    if (mask === TYPE) columns.number("texts", type);
    // What the reader makes of the numbers, and of the checksum: what is like it needs no text.
    const expected = this.#before(type);
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
    for (const [name, column, bit] of TEXTS) {
      const [before, now] = [fieldOf(expected, name), fieldOf(header, name)];
      if (now.equals(before)) continue;
      mask |= bit;
      writeText(columns, column, before, now);
    }
    this.#remember(type, header);
    return mask;
  }

  /** The block of which these fields differ. Throws {@link InvalidRecipe}. The buffer is the caller's. */
  read(mask: number, columns: FrameReader): Buffer {
    if (mask > ALL) throw new InvalidRecipe("it has a header with fields that are not known");
    const type = mask & TYPE ? columns.number("texts") : this.#type;
    if (type > 255) throw new InvalidRecipe("it has a header of no type");
    const header = this.#before(type);
    if (mask & SIZE) writeDigits(header, SIZE_AT, columns.number("numbers"));
    if (mask & MTIME) writeDigits(header, MTIME_AT, this.#mtime + columns.signed("numbers"));
    for (const [name, column, bit] of TEXTS) {
      if (name === "checksum") writeChecksum(header, checksum(header, 0));
      if (mask & bit) readText(columns, column, fieldOf(header, name));
    }
    this.#remember(type, header);
    return header;
  }

  /** A copy of the last header of a type. */
  #before(type: number): Buffer {
    const before = this.#last.get(type);
    const copy = before === undefined ? Buffer.alloc(BLOCK) : Buffer.from(before);
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

/** A number that is not the one before. What is written in another way is told as a text as well. */
function newNumber(header: Buffer, before: Buffer, start: number): number | undefined {
  const number = readDigits(header, start);
  return number === readDigits(before, start) ? undefined : number;
}

/** A number as it is mostly written: eleven octal digits. */
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
  if (value < 0 || value >= 8 ** DIGITS)
    throw new InvalidRecipe("it has a header with a number that does not fit into it");
  header.write(value.toString(8).padStart(DIGITS, "0"), start, "latin1");
}

/** As nearly all write it: six octal digits, NUL, space. */
function writeChecksum(header: Buffer, sum: number): void {
  header.write(`${sum.toString(8).padStart(CHECKSUM_LENGTH - 2, "0")}\0 `, CHECKSUM_AT, "latin1");
}

/** How many bytes are as before, how many follow, and these. What is left of the field is zeros. */
function writeText(columns: FrameWriter, column: Column, before: Buffer, now: Buffer): void {
  let shared = 0;
  while (shared < now.length && now[shared] === before[shared]) shared += 1;
  let end = now.length;
  while (end > shared && now[end - 1] === 0) end -= 1;
  columns.number("lengths", shared);
  columns.number("lengths", end - shared);
  columns.bytes(column, now.subarray(shared, end));
}

function readText(columns: FrameReader, column: Column, field: Buffer): void {
  const shared = columns.number("lengths");
  const length = columns.number("lengths");
  if (shared + length > field.length) throw new InvalidRecipe("it has a header with a field that is too long");
  columns.bytes(column, length).copy(field, shared);
  field.fill(0, shared + length);
}
