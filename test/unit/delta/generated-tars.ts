import { pseudoRandom } from "../pseudo-random.ts";
import { base256, END, entry, longName, noise, pax, paxSparse, type Entry } from "./odd-tars.ts";

type Random = () => number;

const below = (random: Random, limit: number): number => Math.floor(random() * limit);
/** Picks an element of an array, or a character of a string. */
const oneOf = <T>(random: Random, all: ArrayLike<T>): T => all[below(random, all.length)] as T;

/** Entries of a tar. The same seed gives the same entry, except for the mtime. */
const KINDS: ((random: Random, common: Entry) => Buffer)[] = [
  // Files are listed three times, because they are the most frequent.
  (_random, common) => entry(common),
  (_random, common) => entry(common),
  (random, common) => entry({ ...common, padding: below(random, 256) }),
  // Known and unknown types, and types without content, some of which have a size.
  (random, common) =>
    entry({ ...common, type: oneOf(random, "\x007ADMNVZ\xFF"), magic: oneOf(random, ["", "ustar  \0"]) }),
  (random, { content: _none, ...common }) =>
    entry({ ...common, type: oneOf(random, "123456"), link: "app/0", size: octal(below(random, 5000)) }),
  (random, { content: _none, ...common }) => entry({ ...common, type: oneOf(random, "V123456"), link: "app/0" }),
  // Names and links that are too long for a header.
  (random, common) => {
    const path = `${common.name}/${"deep/".repeat(1 + below(random, 80))}file`;
    return Buffer.concat([oneOf(random, [pax({ path }), longName(path)]), entry(common)]);
  },
  (random, { content: _none, ...common }) => {
    const linkpath = "deep/".repeat(1 + below(random, 80));
    const extension = oneOf(random, [pax({ linkpath }), longName(linkpath, "K")]);
    return Buffer.concat([extension, entry({ ...common, type: oneOf(random, ["1", "2"]), link: "deep" })]);
  },
  (_random, common) => entry({ ...common, prefix: "app/prefix/ümläut" }),
  // Extension headers: global, several for one entry, without effect, malformed.
  (random, common) => Buffer.concat([pax({ path: "all", size: `${below(random, 9999)}` }, "g"), entry(common)]),
  (random, common) =>
    Buffer.concat([
      pax({ mtime: `${below(random, 2 ** 31)}.123456789`, "SCHILY.xattr.user.any": "\u0001\0\u007F" }),
      ...(random() < 0.5 ? [pax({ uid: "5000000" }), longName("app/twice")] : []),
      entry(common),
    ]),
  (random, common) =>
    Buffer.concat([
      entry({
        name: "x",
        type: "x",
        content: oneOf(random, [Buffer.alloc(0), noise(700, 1), Buffer.from("7 a=b\n9")]),
      }),
      entry(common),
    ]),
  // Sizes in an extension header and in other notations.
  (_random, common) => Buffer.concat([pax({ size: `${sizeOf(common)}` }), entry({ ...common, size: octal(0) })]),
  (_random, common) => entry({ ...common, size: base256(BigInt(sizeOf(common))) }),
  (_random, common) => entry({ ...common, size: `${sizeOf(common).toString(8).padStart(10)} \0` }),
  // Sparse files, in GNU's old format and the three pax formats.
  (random, common) =>
    entry({ ...common, type: "S", magic: "ustar  \0", map: sparseMap(1 + below(random, 3)), content: noise(3000, 1) }),
  (random, common) =>
    paxSparse(
      common.name,
      Array.from({ length: below(random, 90) }, (_, at) => ({ offset: at * 9999, bytes: noise(777, at) })),
      1_000_000,
    ),
  (_random, common) =>
    Buffer.concat([pax({ "GNU.sparse.map": "0,1,9,1", "GNU.sparse.name": "app/holes" }), entry(common)]),
  // Checksums in other notations.
  (random, common) => {
    const width = oneOf(random, [6, 7, 8]);
    return entry({ ...common, sum: (sum) => `${sum.toString(8).padStart(width, "0")}\0`.slice(0, 8) });
  },
  // A tar within a tar, and zero blocks before the end.
  (random, common) => entry({ ...common, content: generatedTar(below(random, 1000), { parts: 2 }) }),
  (random) => Buffer.alloc(512 * (1 + below(random, 300))),
];

/** Data that is not a tar. It is rare, because nothing after it is read as a tar. */
const BROKEN: ((random: Random, common: Entry) => Buffer)[] = [
  (_random, common) => entry({ ...common, sum: () => "777777\0 " }),
  (random, common) => entry({ ...common, size: oneOf(random, ["what size?\0\0", Buffer.alloc(12, 255)]) }),
  (random, common) => entry({ ...common, size: base256(2n ** BigInt(30 + below(random, 34))) }),
  (_random, common) => entry({ ...common, size: "77777777777\0" }),
  (_random, common) => Buffer.concat([pax({ size: "9".repeat(15) }), entry(common)]),
  (random) => entry({ name: "x", type: oneOf(random, "xgLK"), size: "77777777777\0" }),
  (random) => noise(1 + below(random, 3000), below(random, 1000)),
];

interface GeneratedOptions {
  /** The number of entries. */
  parts?: number;
  /** Another version has other times, and some entries are new, removed, moved, or duplicated. */
  version?: number;
}

/** Generates a tar from a seed. A newer version shares most of its content. */
export function generatedTar(seed: number, { parts, version = 0 }: GeneratedOptions = {}): Buffer {
  const random = pseudoRandom(seed);
  const change = pseudoRandom(seed * 1000 + version);
  let seeds = Array.from({ length: parts ?? below(random, 30) }, () => below(random, 2 ** 30));
  if (version > 0) {
    seeds = seeds.flatMap((one) => oneOf(change, [[one], [one], [one], [one], [], [one + 1], [one, one]]));
    if (change() < 0.5) seeds.reverse();
  }
  const time = 1_700_000_000 + version * 86_400;
  return Buffer.concat([...seeds.map((one) => part(one, time)), end(random)]);
}

function part(seed: number, mtime: number): Buffer {
  const random = pseudoRandom(seed);
  const size = below(random, oneOf(random, [1, 40, 513, 5000, 5000, 5000, 70_000, 200_000]));
  const common = { name: `app/${seed % 5}/${seed}`, content: noise(size, seed), mtime };
  return oneOf(random, random() < 0.01 ? BROKEN : KINDS)(random, common);
}

function end(random: Random): Buffer {
  return oneOf(random, [
    END,
    END,
    Buffer.alloc(0),
    Buffer.alloc(512),
    Buffer.alloc(10_240),
    Buffer.alloc(below(random, 5000)),
    Buffer.concat([END, noise(below(random, 5000), 1)]),
  ]);
}

function sparseMap(blocks: number): Buffer {
  const map = Buffer.alloc(512 * blocks, "00000001000\0");
  for (let block = 0; block < blocks; block += 1)
    map.fill(block < blocks - 1 ? 1 : 0, 512 * block + 504, 512 * block + 512);
  return map;
}

function sizeOf({ content }: Entry): number {
  return content?.length ?? 0;
}

function octal(size: number): string {
  return `${size.toString(8).padStart(11, "0")}\0`;
}
