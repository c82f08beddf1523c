import { brotliCompressSync, constants } from "node:zlib";
import { describe, expect, test } from "vitest";
import { InvalidRecipe } from "../../../src/delta/recipe-errors.ts";
import { FrameWriter } from "../../../src/delta/frame.ts";
import { cutTar, type Segment } from "../../../src/delta/cut-tar.ts";
import { decodeRecipe, type RecipeLimits } from "../../../src/delta/decode-recipe.ts";
import { encodeRecipe } from "../../../src/delta/encode-recipe.ts";
import { pieceKeyOf } from "../../../src/delta/piece-key.ts";
import { OP, OP_CODES, type Instruction } from "../../../src/delta/recipe.ts";
import { bytesOf } from "../image/tar/make-tar.ts";
import { chopped, pseudoRandom } from "../pseudo-random.ts";
import { damaged, END, entry, madeUp, noise, ODD, streamOf } from "./odd-tars.ts";

const LIMIT = { maxSize: 2 ** 40 };

async function recipeOf(tar: Buffer, options = {}): Promise<Buffer> {
  return await bytesOf(encodeRecipe(cutTar(streamOf([tar])), options));
}

async function read(recipe: Iterable<Buffer>, limit: RecipeLimits = LIMIT): Promise<Instruction[]> {
  const instructions: Instruction[] = [];
  for await (const batch of decodeRecipe(streamOf(recipe), limit)) {
    expect(batch).not.toEqual([]);
    instructions.push(...batch);
  }
  return instructions;
}

/** Executes instructions. The pieces are from the tar itself. */
function follow(instructions: Instruction[], tar: Buffer): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const one of instructions) {
    if (one.kind === "end") {
      expect(one.size).toBe(at);
      continue;
    }
    const bytes = one.kind === "literal" ? one.bytes : tar.subarray(at, at + one.length);
    if (one.kind === "piece") expect(one.key).toBe(pieceKeyOf(bytes));
    parts.push(bytes);
    at += bytes.length;
  }
  expect(instructions.findIndex(({ kind }) => kind === "end")).toBe(instructions.length - 1);
  return Buffer.concat(parts);
}

describe.each(Object.entries(ODD))("%s", (_name, make) => {
  test("is described by its recipe, however the recipe is chunked", async () => {
    const tar = make();
    const recipe = await recipeOf(tar);
    const whole = await read([recipe]);
    expect(follow(whole, tar).equals(tar)).toBe(true);
    const again = await read(chopped(recipe, 1, 50));
    expect(follow(again, tar).equals(tar)).toBe(true);
    expect(again.at(-1)).toEqual(whole.at(-1));
  });
});

test("describes generated tars, complete and damaged", async () => {
  const random = pseudoRandom(2);
  for (let seed = 0; seed < 20; seed += 1) {
    for (const tar of [madeUp(seed), damaged(madeUp(seed), random), damaged(madeUp(seed), random)]) {
      expect(follow(await read([await recipeOf(tar)]), tar).equals(tar)).toBe(true);
    }
  }
});

test("encodes a header in a few bytes, and a piece in 8", async () => {
  const random = pseudoRandom(3);
  const count = 3000;
  const files = Array.from({ length: count }, (_, at) =>
    entry({
      name: `app/node_modules/package-${Math.floor(at / 20)}/lib/${(at * at).toString(36)}.js`,
      content: noise(100 + Math.floor(random() * 3000), at),
      mtime: 1_700_000_000 + Math.floor(random() * 1000),
    }),
  );
  const recipe = await recipeOf(Buffer.concat([...files, END]));
  const packed = brotliCompressSync(recipe, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }).length;
  expect(packed / count).toBeLessThan(8 + 8);
});

test("ends with the size of the tar and the folders of the files", async () => {
  const tar = Buffer.concat([entry({ name: "app/node_modules/a/b.js", content: noise(500, 1) }), END]);
  expect((await read([await recipeOf(tar)])).at(-1)).toEqual({
    kind: "end",
    size: tar.length,
    folders: ["/app/node_modules/a"],
  });
  expect((await read([await recipeOf(END)])).at(-1)).toEqual({ kind: "end", size: 1024, folders: [] });
  expect((await read([await recipeOf(noise(500, 1))])).at(-1)).toEqual({ kind: "end", size: 500, folders: ["/"] });
});

test("passes all pieces to an observer, in order", async () => {
  const tar = madeUp(4);
  const observed: [number, number][] = [];
  const observer = { add: (offset: number, length: number) => observed.push([offset, length]) };
  const recipe = await bytesOf(encodeRecipe(cutTar(streamOf([tar])), { pieces: observer }));
  const named: [number, number][] = [];
  let offset = 0;
  for (const one of await read([recipe])) {
    if (one.kind === "piece") named.push([offset, one.length]);
    if (one.kind !== "end") offset += one.kind === "piece" ? one.length : one.bytes.length;
  }
  expect(observed).toEqual(named);
  expect(observed.length).toBeGreaterThan(10);
});

test("encodes a tar of very many headers in several frames", async () => {
  const folders = Array.from({ length: 30_000 }, (_, at) =>
    entry({ name: `${noise(40, at).toString("hex")}/`, type: "5" }),
  );
  const frames: number[] = [];
  for await (const frame of encodeRecipe(cutTar(streamOf(folders)))) frames.push(frame.length);
  expect(frames.length).toBeGreaterThan(8);
  expect(Math.max(...frames)).toBeLessThan(600_000);
});

test("rejects a recipe that describes more than the limit", async () => {
  const tar = madeUp(5);
  const recipe = await recipeOf(tar);
  await expect(read([recipe], { maxSize: tar.length })).resolves.toBeDefined();
  await expect(read([recipe], { maxSize: tar.length - 1 })).rejects.toThrow(InvalidRecipe);
});

test("encodes content after the last allowed piece as raw bytes, and rejects a further piece", async () => {
  const tar = madeUp(5);
  const all = await read([await recipeOf(tar)]);
  const count = all.filter(({ kind }) => kind === "piece").length;
  const some = await read([await recipeOf(tar, { maxPieces: count - 2 })], { ...LIMIT, maxPieces: count - 2 });
  expect(some.filter(({ kind }) => kind === "piece")).toHaveLength(count - 2);
  expect(follow(some, tar).equals(tar)).toBe(true);
  await expect(read([await recipeOf(tar)], { ...LIMIT, maxPieces: count - 1 })).rejects.toThrow(InvalidRecipe);
});

test("rejects a truncated recipe, and a recipe with data after its end", async () => {
  const recipe = await recipeOf(madeUp(6));
  for (const length of [0, 1, 23, 24, 25, recipe.length - 1]) {
    await expect(read([recipe.subarray(0, length)])).rejects.toThrow(InvalidRecipe);
  }
  await expect(read([recipe, Buffer.from("x")])).rejects.toThrow(InvalidRecipe);
  await expect(read([recipe, recipe])).rejects.toThrow(InvalidRecipe);
});

/** Returns a frame with one op. */
function forged(op: number, value: number, fill: (columns: FrameWriter) => void = () => {}): Buffer {
  const columns = new FrameWriter();
  columns.number("ops", value * OP_CODES + op);
  fill(columns);
  return columns.frame();
}

const key = (columns: FrameWriter): void => columns.bytes("keys", noise(8, 1));
const numbers =
  (...values: number[]) =>
  (columns: FrameWriter): void =>
    values.forEach((value) => columns.number("numbers", value));

const fits = (columns: FrameWriter): void => columns.bytes("raw", Buffer.alloc(600));
const name = (columns: FrameWriter): void => {
  columns.number("lengths", 60);
  columns.number("lengths", 41);
  columns.bytes("names", Buffer.alloc(41));
};
const folder = (columns: FrameWriter): void => {
  numbers(0, 1, 3)(columns);
  columns.bytes("raw", Buffer.from("/.."));
};
const twoEnds = (columns: FrameWriter): void => {
  columns.number("ops", OP.end);
  numbers(0, 0, 0, 0)(columns);
};
const halfBlock = forged(OP.raw, 300, (columns) => columns.bytes("raw", Buffer.alloc(300)));

test.each<[string, string, Buffer]>([
  ["an unknown op", "unknown op", forged(7, 0)],
  ["an empty frame", "is empty", new FrameWriter().frame()],
  ["a frame of gigabytes", "too large", Buffer.alloc(24, 0x7f)],
  ["a header with unknown fields", "unknown fields", forged(OP.header, 2 ** 13)],
  ["a header of an invalid type", "invalid type", forged(OP.header, 8, (columns) => columns.number("raw", 256))],
  ["a size that is out of range", "out of range", forged(OP.header, 1, numbers(8 ** 11))],
  ["a time that is out of range", "out of range", forged(OP.header, 2, numbers(1))],
  ["a name that is too long", "field of a header in the recipe is too long", forged(OP.header, 4, name)],
  ["a missing name", "too short", forged(OP.header, 4)],
  ["a header in the middle of a block", "does not begin on a block", Buffer.concat([halfBlock, forged(OP.header, 0)])],
  ["too many zeros", "too many zero blocks", forged(OP.zeros, 128)],
  ["raw bytes of length 0", "a wrong length", forged(OP.raw, 0)],
  ["raw bytes beyond their block", "a wrong length", forged(OP.raw, 513, fits)],
  ["raw bytes beyond the rest of their block", "a wrong length", Buffer.concat([halfBlock, forged(OP.raw, 300, fits)])],
  ["a piece that is too large", "a wrong length", forged(OP.piece, 128 * 1024 + 1, key)],
  ["a piece of a size that no header gives", "a wrong length", forged(OP.piece, 0, key)],
  ["a piece of no bytes", "a wrong length", Buffer.concat([forged(OP.header, 0), forged(OP.piece, 0, key)])],
  ["a piece with a short key", "too short", forged(OP.piece, 5, (columns) => columns.bytes("keys", Buffer.alloc(7)))],
  ["unused bytes", "unused bytes", forged(OP.zeros, 0, key)],
  ["a number of more than 2^53", "too large", forged(OP.end, 0, numbers(2 ** 60))],
  [
    "a number without end",
    "too long",
    forged(OP.end, 0, (columns) => columns.bytes("numbers", Buffer.alloc(99, 0x80))),
  ],
  ["another size", "size at its end differs", forged(OP.end, 0, numbers(1, 0))],
  ["too many folders", "too many folders", forged(OP.end, 0, numbers(0, 33))],
  ["folders without end", "too many folders", forged(OP.end, 0, numbers(0, 2 ** 50))],
  ["a folder with ..", "not an absolute path", forged(OP.end, 0, folder)],
  ["a malformed end", "malformed", forged(OP.end, 1, numbers(0, 0))],
  ["two ends", "after its end", forged(OP.end, 0, twoEnds)],
])("rejects %s", async (_name, why, frame) => {
  const refused = read([frame, forged(OP.end, 0, numbers(0, 0))]);
  await expect(refused).rejects.toThrow(InvalidRecipe);
  await expect(refused).rejects.toThrow(why);
});

test("encodes segments that no tar has", async () => {
  const literal = (bytes: Buffer): Segment => ({ kind: "literal", bytes });
  const content = (bytes: Buffer): Segment => ({ kind: "content", bytes, path: "app/a" });
  const header = entry({ name: "app/a" });
  const segments = [
    literal(noise(100, 1)),
    content(noise(1000, 2)),
    literal(header),
    literal(Buffer.alloc(200_000)),
    literal(header.subarray(0, 300)),
    content(noise(7, 3)),
    literal(Buffer.concat([Buffer.alloc(3), header])),
    content(noise(1, 4)),
    literal(Buffer.alloc(1)),
  ];
  async function* batches(): AsyncGenerator<Segment[]> {
    yield segments;
  }
  const whole = Buffer.concat(segments.map(({ bytes }) => bytes));
  expect(follow(await read([await bytesOf(encodeRecipe(batches()))]), whole).equals(whole)).toBe(true);
});

test("rejects a damaged recipe, or decodes it to the size at its end", async () => {
  const random = pseudoRandom(7);
  const recipes = await Promise.all(
    [madeUp(7), madeUp(8), ODD["pax, long names, prefixes, GNU's names"]?.() ?? END].map(recipeOf),
  );
  let refused = 0;
  for (let times = 0; times < 600; times += 1) {
    const recipe = damaged(recipes[times % recipes.length] as Buffer, random);
    try {
      const instructions = await read([recipe], { maxSize: 50_000_000 });
      const described = instructions.reduce(
        (sum, one) => sum + (one.kind === "literal" ? one.bytes.length : one.kind === "piece" ? one.length : 0),
        0,
      );
      expect(instructions.at(-1)).toMatchObject({ kind: "end", size: described });
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidRecipe);
      refused += 1;
    }
  }
  expect(refused).toBeGreaterThan(100);
});
