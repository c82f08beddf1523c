import { createCipheriv } from "node:crypto";
import { pseudoRandom } from "../pseudo-random.ts";

/** Returns pseudo-random bytes, at a gigabyte a second. The same seed gives the same bytes. */
export function noise(size: number, seed: number): Buffer {
  return createCipheriv("aes-128-ctr", Buffer.alloc(16, `${seed}`), Buffer.alloc(16)).update(Buffer.alloc(size));
}

export interface Entry {
  name: string;
  type?: string;
  content?: Buffer;
  /** The size field. Default: eleven octal digits. */
  size?: Buffer | string;
  mtime?: number;
  mode?: string;
  link?: string;
  prefix?: string;
  /** "ustar\0" + "00" of POSIX, "ustar  \0" of GNU, or none. */
  magic?: string;
  /** Formats the checksum. */
  sum?: (sum: number) => string;
  /** The byte that pads the last block of the content. */
  padding?: number;
  /** Blocks between the header and the content: the rest of a sparse map. */
  map?: Buffer;
}

export function entry(of: Entry): Buffer {
  const { name, type = "0", content = Buffer.alloc(0), mtime = 1_700_000_000, mode = "0000644\0" } = of;
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  header.write(mode, 100, 8, "latin1");
  header.write("0000000\x000000000\0", 108, 16, "latin1");
  const size = of.size ?? `${content.length.toString(8).padStart(11, "0")}\0`;
  Buffer.from(size as string, "latin1").copy(header, 124);
  header.write(`${mtime.toString(8).padStart(11, "0")}\0`, 136, 12, "latin1");
  header.write("        ", 148, 8, "latin1");
  header.write(type, 156, 1, "latin1");
  header.write(of.link ?? "", 157, 100);
  header.write(of.magic ?? "ustar\x0000", 257, 8, "latin1");
  header.write(of.prefix ?? "", 345, 155);
  if (of.map !== undefined) header[482] = 1;
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.fill(0, 148, 156);
  header.write((of.sum ?? ((value) => `${value.toString(8).padStart(6, "0")}\0 `))(sum), 148, 8, "latin1");
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512, of.padding ?? 0);
  return Buffer.concat([header, of.map ?? Buffer.alloc(0), content, padding]);
}

/** A pax extended header. */
export function pax(records: Record<string, string>, type = "x"): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = Buffer.byteLength(rest) + 1;
    while (Buffer.byteLength(`${length}${rest}`) !== length) length += 1;
    return `${length}${rest}`;
  });
  return entry({ name: "PaxHeaders.0/file", type, mtime: 0, content: Buffer.from(lines.join("")) });
}

export function longName(name: string, type: "L" | "K" = "L"): Buffer {
  return entry({ name: "././@LongLink", type, mtime: 0, magic: "ustar  \0", content: Buffer.from(`${name}\0`) });
}

export const END = Buffer.alloc(1024);

/** GNU's base 256. */
export function base256(size: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64BE(size, 4);
  bytes[0] = 0x80;
  return bytes;
}

/** A sparse file in pax format 1.0 (GNU tar manual, "Storing Sparse Files"). Its content begins with the map. */
export function paxSparse(name: string, parts: { offset: number; bytes: Buffer }[], size: number): Buffer {
  const map = [parts.length, ...parts.flatMap(({ offset, bytes }) => [offset, bytes.length])];
  const padded = Buffer.alloc(Math.ceil((map.join("\n").length + 1) / 512) * 512);
  padded.write(`${map.join("\n")}\n`);
  return Buffer.concat([
    pax({
      "GNU.sparse.major": "1",
      "GNU.sparse.minor": "0",
      "GNU.sparse.name": name,
      "GNU.sparse.realsize": `${size}`,
    }),
    entry({
      name: `GNUSparseFile.0/${name}`.slice(0, 100),
      content: Buffer.concat([padded, ...parts.map(({ bytes }) => bytes)]),
    }),
  ]);
}

const text = (seed: number, lines: number): Buffer =>
  Buffer.from(Array.from({ length: lines }, (_, at) => `line ${at} of ${seed}: ${at * seed}\n`).join(""));

const LONG = `app/${"a-folder-of-some-length/".repeat(9)}file.js`;

/** A sparse file in GNU's old format, whose map takes two more blocks. */
const sparse = (): Buffer => {
  const map = Buffer.alloc(1024);
  map.write("00000000000\x0000000001000\0", 0, "latin1");
  map[504] = 1;
  return entry({ name: "app/sparse", type: "S", magic: "ustar  \0", content: noise(5000, 9), map });
};

/** Tars of all kinds, and data that is not a tar, or only at its beginning. */
export const ODD: Record<string, () => Buffer> = {
  nothing: () => Buffer.alloc(0),
  "one byte": () => Buffer.from("x"),
  "an empty tar": () => END,
  zeros: () => Buffer.alloc(300_000),
  "less than a block of zeros": () => Buffer.alloc(511),
  "files of all sizes": () =>
    Buffer.concat([
      ...[0, 1, 31, 32, 33, 511, 512, 513, 65_535, 65_536, 65_537, 300_000, 1_500_000].map((size, at) =>
        entry({ name: `app/${size}`, content: noise(size, at) }),
      ),
      END,
    ]),
  "all types": () =>
    Buffer.concat([
      entry({ name: "app/", type: "5", mode: "0000755\0" }),
      entry({ name: "app/a", content: text(1, 50) }),
      entry({ name: "app/v7", type: "\0", magic: "", content: text(2, 50) }),
      entry({ name: "app/link", type: "1", link: "app/a" }),
      entry({ name: "app/symlink", type: "2", link: "a" }),
      entry({ name: "app/device", type: "3" }),
      entry({ name: "app/block", type: "4" }),
      entry({ name: "app/fifo", type: "6" }),
      entry({ name: "app/contiguous", type: "7", content: text(3, 50) }),
      entry({ name: "a label", type: "V" }),
      entry({ name: "app/continued", type: "M", content: text(4, 50) }),
      entry({ name: "app/names", type: "D", content: text(4, 50) }),
      entry({ name: "app/unknown", type: "Z", content: text(4, 50) }),
      END,
    ]),
  "entries with a size and no content": () =>
    Buffer.concat([
      ...["1", "2", "3", "4", "5", "6"].map((type) =>
        entry({ name: `app/${type}`, type, link: "app/a", size: "00000010000\0" }),
      ),
      entry({ name: "app/b", content: text(5, 40) }),
      END,
    ]),
  "a global extension header, whose size applies to no entry": () =>
    Buffer.concat([
      pax({ size: "3", path: "app/all" }, "g"),
      entry({ name: "app/a", content: text(5, 40) }),
      entry({ name: "app/b", content: text(6, 40) }),
      END,
    ]),
  "pax, long names, prefixes, GNU's names": () =>
    Buffer.concat([
      pax({ comment: "for all" }, "g"),
      pax({ path: LONG, mtime: "1700000000.123456789" }),
      entry({ name: LONG.slice(0, 100), content: text(6, 100) }),
      pax({ linkpath: LONG }),
      entry({ name: "app/symlink", type: "2", link: LONG.slice(0, 100) }),
      entry({ name: "file.js", prefix: "app/a/prefix", content: text(7, 100) }),
      longName(LONG),
      longName(LONG, "K"),
      entry({ name: LONG.slice(0, 100), type: "2", link: LONG.slice(0, 100), magic: "ustar  \0" }),
      longName(LONG),
      entry({ name: LONG.slice(0, 100), magic: "ustar  \0", content: text(8, 100) }),
      entry({ name: "app/ümläut", content: text(9, 100) }),
      END,
    ]),
  "a size in pax only": () =>
    Buffer.concat([
      pax({ size: "3000" }),
      entry({ name: "app/big", size: "00000000000\0", content: noise(3000, 1) }),
      entry({ name: "app/b", content: text(10, 40) }),
      END,
    ]),
  "a size in base 256": () =>
    Buffer.concat([
      entry({ name: "app/big", size: base256(3000n), content: noise(3000, 2) }),
      entry({ name: "app/b", content: text(11, 40) }),
      END,
    ]),
  "sparse files": () =>
    Buffer.concat([
      sparse(),
      paxSparse(
        "app/real",
        [
          { offset: 0, bytes: noise(3000, 3) },
          { offset: 500_000, bytes: noise(70_000, 4) },
        ],
        600_000,
      ),
      // The two earlier formats have the map in the extension header.
      pax({ "GNU.sparse.name": "app/real-0.1", "GNU.sparse.map": "0,1000,9000,1000" }),
      entry({ name: "app/GNUSparseFile.1/real", content: noise(2000, 5) }),
      pax({ "GNU.sparse.numblocks": "1", "GNU.sparse.offset": "9000", "GNU.sparse.numbytes": "1000" }),
      entry({ name: "app/real-0.0", content: noise(1000, 6) }),
      END,
    ]),
  "a sparse map without end": () => Buffer.concat([sparse().subarray(0, 1024), Buffer.alloc(100_000, 1)]),
  "a size of 2^53": () => Buffer.concat([entry({ name: "app/big", size: base256(2n ** 53n) }), noise(400_000, 4)]),
  "a size below 2^53": () =>
    Buffer.concat([entry({ name: "app/big", size: base256(2n ** 53n - 1000n) }), noise(400_000, 5)]),
  "a negative size": () => Buffer.concat([entry({ name: "app/a", size: Buffer.alloc(12, 255) }), noise(3000, 6)]),
  "a size that is not a number": () =>
    Buffer.concat([entry({ name: "app/a", size: "what size?\0\0" }), noise(3000, 7)]),
  "a size that is too large": () => Buffer.concat([entry({ name: "app/a", size: "00000001000\0" }), END]),
  "a huge extension header": () =>
    Buffer.concat([entry({ name: "x", type: "x", size: "77777777777\0" }), noise(2_500_000, 8)]),
  "a malformed extension header": () =>
    Buffer.concat([
      entry({ name: "x", type: "x", content: Buffer.from("9999 path=x\n12 size=\n") }),
      entry({ name: "app/a", content: text(12, 40) }),
      END,
    ]),
  "an extension header with a huge size": () =>
    Buffer.concat([pax({ size: "9".repeat(400) }), entry({ name: "app/a", content: text(13, 40) }), END]),
  "checksums in other notations": () =>
    Buffer.concat([
      entry({ name: "app/a", content: text(14, 40), sum: (sum) => `${sum.toString(8).padStart(7, "0")}\0` }),
      entry({ name: "app/b", content: text(15, 40), sum: (sum) => `${sum.toString(8).padStart(6)}\0 ` }),
      entry({ name: "app/ü", content: text(16, 40), sum: (sum) => `${(sum - 512).toString(8).padStart(6, "0")}\0 ` }),
      entry({ name: "app/d", content: text(17, 40) }),
      ...["e", "e", "f"].map((name) =>
        entry({ name: `app/${name}`, content: text(18, 40), sum: (sum) => `${sum.toString(8).padStart(7, "0")}\0` }),
      ),
      END,
    ]),
  "numbers in other notations": () =>
    Buffer.concat([
      entry({ name: "app/a", size: "        100 ", content: noise(64, 10) }),
      entry({ name: "app/b", size: "00000000100 ", content: noise(64, 11) }),
      entry({ name: "app/c", size: "00000000120 ", content: noise(80, 12), mtime: 8 ** 11 - 1 }),
      entry({ name: "app/d", size: "120\0noise-no", content: noise(80, 13), mtime: 0 }),
      END,
    ]),
  "padding that is not zero": () =>
    Buffer.concat([
      entry({ name: "app/a", content: text(18, 3), padding: 7 }),
      entry({ name: "app/b", content: text(19, 30), padding: 7 }),
      END,
      Buffer.alloc(10_240 - 1024),
    ]),
  "two tars, one after the other": () =>
    Buffer.concat([
      entry({ name: "app/a", content: text(20, 300) }),
      END,
      Buffer.alloc(7 * 512),
      entry({ name: "app/b", content: text(21, 300) }),
      END,
    ]),
  "garbage after a tar": () =>
    Buffer.concat([entry({ name: "app/a", content: text(22, 300) }), END, noise(200_000, 14)]),
  "a wrong checksum": () => {
    const wrong = entry({ name: "app/b", content: text(23, 300) });
    wrong[0] = 0x62;
    return Buffer.concat([entry({ name: "app/a", content: text(24, 300) }), wrong, END]);
  },
  noise: () => noise(1_000_000, 15),
};

/** Generates a tar of files in some folders from a seed. A newer `version` shares most of its content. */
export function madeUp(seed: number, version = 0): Buffer {
  const random = pseudoRandom(seed);
  const change = pseudoRandom(seed * 1000 + version);
  const parts: Buffer[] = [];
  const count = 3 + Math.floor(random() * 60);
  for (let at = 0; at < count; at += 1) {
    const size = Math.floor(random() ** 4 * 150_000);
    const name = `app/${Math.floor(random() * 5)}/${"deep/".repeat(Math.floor(random() * 40))}${at}`;
    const changes = version > 0 && change() < 0.2;
    const content = noise(size, seed * 100 + at + (changes && change() < 0.5 ? 7777 : 0));
    if (changes && change() < 0.3) continue;
    if (changes && content.length > 0) content.write("changed", Math.floor(change() * content.length));
    if (change() < 0.1 && version > 0) parts.push(entry({ name: `app/new/${at}`, content: noise(2000, at + version) }));
    if (name.length > 100) parts.push(random() < 0.5 ? pax({ path: name }) : longName(name));
    parts.push(entry({ name: name.slice(0, 100), content, mtime: 1_700_000_000 + at + version * 86_400 }));
    if (random() < 0.1) parts.push(entry({ name: `app/link${at}`, type: "1", link: name.slice(0, 100) }));
  }
  return Buffer.concat([...parts, END, Buffer.alloc(512 * Math.floor(random() * 20))]);
}

/** Changes, removes or inserts some bytes. */
export function damaged(bytes: Buffer, random: () => number): Buffer {
  let now = Buffer.from(bytes);
  for (let times = 1 + Math.floor(random() * 4); times > 0; times -= 1) {
    const at = Math.floor(random() * now.length);
    const kind = random();
    if (kind < 0.6) now[at] = Math.floor(random() * 256);
    else if (kind < 0.75) now = now.subarray(0, at);
    else if (kind < 0.9) now = Buffer.concat([now.subarray(0, at), now.subarray(at + 1 + Math.floor(random() * 20))]);
    else now = Buffer.concat([now.subarray(0, at), noise(Math.floor(random() * 20), at), now.subarray(at)]);
  }
  return now;
}

export async function* streamOf(chunks: Iterable<Buffer>): AsyncGenerator<Buffer> {
  yield* chunks;
}
