/**
 * Recognises headers among the 512-byte blocks of a tar, and reads their fields (pax(1), "ustar Interchange Format"; GNU tar's manual,
 * "Basic Tar Format").
 */

export const BLOCK = 512;

/** Offset and length of each field of a header. */
export const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  ids: [108, 16],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  link: [157, 100],
  /** Magic and version, names of owner and group, device numbers. */
  owner: [257, 88],
  prefix: [345, 155],
  rest: [500, 12],
} as const;

const SPACE = 0x20;
const ZERO = 0x30;

/** The magic and version of a header that has a prefix field. A header with GNU's own magic has other fields at that offset. */
const USTAR = "ustar\x0000";

export function isZeros(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) if (bytes[at] !== 0) return false;
  return true;
}

/** Returns whether the block at `start` contains the checksum of its own bytes. Accepts signed sums, which some old tars have. */
export function isHeader(bytes: Buffer, start: number): boolean {
  const [offset, length] = FIELD.checksum;
  const written = readOctal(bytes, start + offset, length);
  if (written === undefined) return false;
  const sum = checksum(bytes, start);
  return written === sum || written === sum - 256 * highBytes(bytes, start);
}

/** Returns the sum of a header's bytes. The bytes of the checksum field count as spaces. */
export function checksum(bytes: Uint8Array, start: number): number {
  const [offset, length] = FIELD.checksum;
  let sum = length * SPACE;
  for (let at = start; at < start + offset; at += 1) sum += bytes[at] as number;
  for (let at = start + offset + length; at < start + BLOCK; at += 1) sum += bytes[at] as number;
  return sum;
}

/** Counts the bytes above 127. In a signed sum, each of them counts as its value minus 256. */
function highBytes(bytes: Uint8Array, start: number): number {
  const [offset, length] = FIELD.checksum;
  let count = 0;
  for (let at = 0; at < BLOCK; at += 1) {
    if ((at < offset || at >= offset + length) && (bytes[start + at] as number) > 127) count += 1;
  }
  return count;
}

/** Returns the size field of a header, in octal or in GNU's base 256; undefined if it is malformed. A size above 2^53 is rounded. */
export function readSize(bytes: Buffer, start: number): number | undefined {
  const [offset, length] = FIELD.size;
  const at = start + offset;
  if ((bytes[at] as number) < 0x80) return readOctal(bytes, at, length);
  let size = (bytes[at] as number) & 0x7f;
  for (let i = 1; i < length; i += 1) size = size * 256 + (bytes[at + i] as number);
  return size;
}

/** Reads digits after optional spaces, up to a space, a NUL or the end of the field. A field without digits is 0, as in a v7 header. */
function readOctal(bytes: Uint8Array, start: number, length: number): number | undefined {
  let at = start;
  const end = start + length;
  while (at < end && bytes[at] === SPACE) at += 1;
  let value = 0;
  for (; at < end && bytes[at] !== 0 && bytes[at] !== SPACE; at += 1) {
    const digit = (bytes[at] as number) - ZERO;
    if (digit < 0 || digit > 7) return undefined;
    value = value * 8 + digit;
  }
  return value;
}

/** Returns the path in a header, and ignores extension headers. */
export function readPath(bytes: Buffer, start: number): string {
  const name = readText(bytes, start, FIELD.name);
  if (bytes.toString("latin1", start + FIELD.owner[0], start + FIELD.owner[0] + USTAR.length) !== USTAR) return name;
  const prefix = readText(bytes, start, FIELD.prefix);
  return prefix === "" ? name : `${prefix}/${name}`;
}

function readText(bytes: Buffer, start: number, [offset, length]: readonly [number, number]): string {
  return untilNul(bytes.subarray(start + offset, start + offset + length));
}

export function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}
