import { FIELD } from "../../delta/tar-block.ts";

/** The fields of a header. Texts have one character for each byte; malformed numbers are NaN. */
export interface HeaderRead {
  type: string;
  name: string;
  target: string;
  mode: number;
  size: number;
  /** Seconds since 1970 */
  mtime: number;
}

/** Reads a header (pax(1), "ustar Interchange Format"; GNU tar, "Basic Tar Format"). */
export function readHeader(block: Buffer): HeaderRead {
  const isUstar = text(block, FIELD.owner).startsWith("ustar") && block[FIELD.owner[0] + 5] === 0;
  const prefix = isUstar ? text(block, FIELD.prefix) : "";
  const name = text(block, FIELD.name);
  return {
    type: String.fromCharCode(block[FIELD.type[0]] as number),
    name: prefix === "" ? name : `${prefix}/${name}`,
    target: text(block, FIELD.link),
    mode: number(block, FIELD.mode) & 0o7777,
    size: number(block, FIELD.size),
    mtime: number(block, FIELD.mtime),
  };
}

function text(block: Buffer, [at, length]: readonly [number, number]): string {
  return untilNul(block.toString("latin1", at, at + length));
}

/** Returns the text before the first NUL. */
export function untilNul(text: string): string {
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

/** Reads a number: octal digits, or GNU's base-256 encoding, which also has negative numbers. Returns NaN if it is malformed. */
function number(block: Buffer, [at, length]: readonly [number, number]): number {
  const first = block[at] as number;
  if (first < 0x80) {
    const digits = block
      .toString("latin1", at, at + length)
      .replace(/[\0 ]+$/, "")
      .trimStart();
    return digits === "" ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
  }
  // The first bit marks the encoding. The others are a number in two's complement.
  const bits = BigInt(`0x${block.toString("hex", at, at + length)}`);
  return Number(BigInt.asIntN(8 * length - 1, bits));
}
