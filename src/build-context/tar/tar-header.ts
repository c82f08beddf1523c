import { checksum, FIELD } from "../../delta/tar-block.ts";

/** The size of a tar's blocks. */
export const BLOCK = 512;

/** Types of entries (pax(1), "ustar Interchange Format"; GNU tar, "Basic Tar Format"). */
export const TYPE = {
  file: "0",
  hardLink: "1",
  symlink: "2",
  folder: "5",
  contiguous: "7",
  pax: "x",
  globalPax: "g",
  longName: "L",
  longTarget: "K",
} as const;

/** The largest number that fits into the octal digits of the fields for size and time. */
export const MAX_OCTAL = 8 ** 11 - 1;

export interface HeaderFields {
  type: string;
  /** At most 100 bytes, one character for each byte */
  name: string;
  /** The target of a link, in the same form */
  target?: string;
  mode: number;
  /** Bytes, up to {@link MAX_OCTAL} */
  size: number;
  /** Seconds since 1970, up to {@link MAX_OCTAL} */
  mtime: number;
}

/** Encodes a header. The owner is 0:0, without a name. */
export function encodeHeader({ type, name, target = "", mode, size, mtime }: HeaderFields): Buffer {
  const header = Buffer.alloc(BLOCK);
  const put = ([at, length]: readonly [number, number], text: string): void => {
    header.write(text, at, length, "latin1");
  };
  put(FIELD.name, name);
  put(FIELD.mode, octal(mode, 7));
  put(FIELD.ids, `${octal(0, 7)}\0${octal(0, 7)}\0`);
  put(FIELD.size, octal(size, 11));
  put(FIELD.mtime, octal(mtime, 11));
  put(FIELD.type, type);
  put(FIELD.link, target);
  put(FIELD.owner, "ustar\x0000");
  put(FIELD.checksum, `${octal(checksum(header, 0), 6)}\0 `);
  return header;
}

/** Encodes the records of a pax header (pax(1), "pax Extended Header"). Values have one character for each byte. */
export function encodePaxRecords(records: Record<string, string>): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    // The length counts its own digits.
    let length = rest.length + 1;
    while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
    return `${length}${rest}`;
  });
  return Buffer.from(lines.join(""), "latin1");
}

/** Returns the zeros that fill the last block of a file's content. */
export function padding(size: number): Buffer {
  return Buffer.alloc(-size & (BLOCK - 1));
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}
