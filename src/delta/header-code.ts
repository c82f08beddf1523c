import type { ColumnReader, ColumnWriter, Column } from "./columns.ts";
import { BadRecipe } from "./bad-recipe.ts";
import { BLOCK, checksum, FIELD, readSize } from "./tar-block.ts";

/** Fields that are told as what they do not have in common with the last header of their type, the most frequent first. */
const TEXTS = [
  ["name", "names"],
  ["mode", "texts"],
  ["ids", "texts"],
  ["link", "names"],
  ["owner", "texts"],
  ["prefix", "names"],
  ["rest", "texts"],
  // As text, where they are not written as the numbers below are.
  ["size", "texts"],
  ["mtime", "texts"],
  ["checksum", "texts"],
] as const satisfies [keyof typeof FIELD, Column][];

/** The bits that say which fields differ. Those that differ often come first: 4 bits fit into an op of one byte. */
const SIZE = 1;
const MTIME = 2;
const NAME = 4;
const TYPE = 8;
const OTHERS = 16;
/** Bits of all. */
const BITS = 14;

const DIGITS = 11;
const [SIZE_AT] = FIELD.size;
const [MTIME_AT] = FIELD.mtime;
const [TYPE_AT] = FIELD.type;
const [CHECKSUM_AT, CHECKSUM_LENGTH] = FIELD.checksum;

/**
 * Headers told by what they do not have in common with the ones before. Writer and reader each have one, which knows the
 * last header of every type: 256 at most.
 */
export class HeaderCode {
  readonly #last = new Map<number, Buffer>();
  #type = 0;
  #mtime = 0;

  /** The size that the last header gives. */
  get size(): number | undefined {
    const last = this.#last.get(this.#type);
    return last === undefined ? undefined : readSize(last, 0);
  }

  /** Tells which fields of a header differ, and writes these. Any block of 512 bytes can be told, one with a wrong checksum as well. */
  write(header: Buffer, columns: ColumnWriter): number {
    const type = header[TYPE_AT] as number;
    let mask = type === this.#type ? 0 : TYPE;
    if (mask === TYPE) columns.number("texts", type);
    const before = this.#before(type);
    const size = readDigits(header, SIZE_AT);
    const mtime = readDigits(header, MTIME_AT);
    if (
      !sameField(header, before, "size") &&
      size !== undefined &&
      header[SIZE_AT + DIGITS] === before[SIZE_AT + DIGITS]
    ) {
      mask |= SIZE;
      columns.number("numbers", size);
      writeDigits(before, SIZE_AT, size);
    }
    if (
      !sameField(header, before, "mtime") &&
      mtime !== undefined &&
      header[MTIME_AT + DIGITS] === before[MTIME_AT + DIGITS]
    ) {
      mask |= MTIME;
      columns.signed("numbers", mtime - this.#mtime);
      writeDigits(before, MTIME_AT, mtime);
    }
    TEXTS.forEach(([name, column], at) => {
      if (name === "checksum") writeChecksum(before, checksum(header, 0));
      if (sameField(header, before, name)) return;
      mask |= at === 0 ? NAME : OTHERS << (at - 1);
      const [offset, length] = FIELD[name];
      writeText(columns, column, before.subarray(offset, offset + length), header.subarray(offset, offset + length));
    });
    this.#remember(type, header);
    return mask;
  }

  /** The header of which these fields differ. Throws {@link BadRecipe}. The buffer is the caller's. */
  read(mask: number, columns: ColumnReader): Buffer {
    if (mask >= 2 ** BITS) throw new BadRecipe("it has a header with fields that are not known");
    const type = mask & TYPE ? columns.number("texts") : this.#type;
    if (type > 255) throw new BadRecipe("it has a header of no type");
    const header = this.#before(type);
    if (mask & SIZE) writeDigits(header, SIZE_AT, columns.number("numbers"));
    if (mask & MTIME) writeDigits(header, MTIME_AT, this.#mtime + columns.signed("numbers"));
    TEXTS.forEach(([name, column], at) => {
      if (name === "checksum") writeChecksum(header, checksum(header, 0));
      if ((mask & (at === 0 ? NAME : OTHERS << (at - 1))) === 0) return;
      const [offset, length] = FIELD[name];
      readText(columns, column, header.subarray(offset, offset + length));
    });
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
    this.#mtime = readDigits(header, MTIME_AT) ?? this.#mtime;
  }
}

function sameField(a: Buffer, b: Buffer, name: keyof typeof FIELD): boolean {
  const [offset, length] = FIELD[name];
  return a.compare(b, offset, offset + length, offset, offset + length) === 0;
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
  if (value < 0 || value >= 8 ** DIGITS) throw new BadRecipe("it has a header with a number that does not fit into it");
  header.write(value.toString(8).padStart(DIGITS, "0"), start, "latin1");
}

/** As nearly all write it: six octal digits, NUL, space. */
function writeChecksum(header: Buffer, sum: number): void {
  header.write(`${sum.toString(8).padStart(CHECKSUM_LENGTH - 2, "0")}\0 `, CHECKSUM_AT, "latin1");
}

/** How many bytes are as before, how many follow, and these. What is left of the field is zeros. */
function writeText(columns: ColumnWriter, column: Column, before: Buffer, now: Buffer): void {
  let shared = 0;
  while (shared < now.length && now[shared] === before[shared]) shared += 1;
  let end = now.length;
  while (end > shared && now[end - 1] === 0) end -= 1;
  columns.number("lengths", shared);
  columns.number("lengths", end - shared);
  columns.bytes(column, now.subarray(shared, end));
}

function readText(columns: ColumnReader, column: Column, field: Buffer): void {
  const shared = columns.number("lengths");
  const length = columns.number("lengths");
  if (shared + length > field.length) throw new BadRecipe("it has a header with a field that is too long");
  columns.bytes(column, length).copy(field, shared);
  field.fill(0, shared + length);
}
