import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { InvalidRecipe } from "../../../src/delta/recipe-errors.ts";
import { cutTar } from "../../../src/delta/cut-tar.ts";
import { decodeRecipe } from "../../../src/delta/decode-recipe.ts";
import { encodeRecipe } from "../../../src/delta/encode-recipe.ts";
import { reusePieces } from "../../../src/delta/reuse-pieces.ts";
import type { Instruction } from "../../../src/delta/recipe.ts";
import { PieceIndex } from "../../../src/delta/piece-index.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { bytesOf } from "../image/tar/make-tar.ts";
import { pseudoRandom } from "../pseudo-random.ts";
import { damaged, END, entry, madeUp, noise, ODD, streamOf } from "./odd-tars.ts";
import { rebuildWithRecipe, sendTar, type Harm, type SentTar } from "./send-tar.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "delta-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

const send = async (tar: Buffer, deltaBases: Buffer[], harm: Harm = {}): Promise<SentTar> =>
  await sendTar(folder, tar, deltaBases, harm);

test.each(Object.entries(ODD))(
  "sends all pieces to a receiver without the tar, and none to a receiver that has it: %s",
  async (_name, make) => {
    const tar = make();
    const whole = await send(tar, []);
    expect(whole.rebuilt.equals(tar)).toBe(true);
    const again = await send(tar, [tar]);
    expect(again.rebuilt.equals(tar)).toBe(true);
    expect(again.sent).toBe(0);
    expect(again.missing).toHaveLength(0);
  },
);

test("rebuilds a newer version from older versions and the new pieces", async () => {
  for (let seed = 0; seed < 8; seed += 1) {
    const [old, older, now] = [madeUp(seed), madeUp(seed, 1), madeUp(seed, 2)];
    const { rebuilt, sent } = await send(now, [old, older]);
    expect(rebuilt.equals(now)).toBe(true);
    expect(sent).toBeLessThan(now.length);
    expect((await send(now, [damaged(now, pseudoRandom(seed))])).rebuilt.equals(now)).toBe(true);
  }
});

test("sends no pieces when only the mtime of every file has changed", async () => {
  const files = (mtime: number): Buffer =>
    Buffer.concat([
      ...Array.from({ length: 50 }, (_, at) => entry({ name: `app/${at}`, content: noise(at * 999, at), mtime })),
      END,
    ]);
  expect((await send(files(2_000_000_000), [files(1_000_000_000)])).sent).toBe(0);
});

test("sends a few pieces after a small edit of a large file", async () => {
  const content = noise(3_000_000, 1);
  const edited = Buffer.concat([content.subarray(0, 1_234_567), Buffer.from("an edit"), content.subarray(1_234_567)]);
  const tar = (content: Buffer): Buffer => Buffer.concat([entry({ name: "lib/large.so", content }), END]);
  const { rebuilt, sent } = await send(tar(edited), [tar(content)]);
  expect(rebuilt.equals(tar(edited))).toBe(true);
  expect(sent).toBeLessThan(300_000);
});

test("sends content that is in a tar several times only once", async () => {
  const content = noise(40_000, 1);
  const tar = Buffer.concat(Array.from({ length: 8 }, (_, at) => entry({ name: `${at}`, content })));
  const { rebuilt, sent, missing } = await send(tar, []);
  expect(rebuilt.equals(tar)).toBe(true);
  expect(sent).toBe(40_000);
  expect(missing).toEqual(Buffer.from([0, 1]));
});

test("stops reading a tar when nothing is missing", async () => {
  const tar = madeUp(1);
  const path = join(folder, "layer");
  const recipe = decodeRecipe(encodeRecipe(cutTar(streamOf([tar]))), { maxSize: tar.length });
  let given = 0;
  async function* endless(): AsyncGenerator<Buffer> {
    yield tar;
    for (;;) {
      given += 1;
      yield noise(200_000, given);
    }
  }
  {
    await using file = await open(path, "w");
    const rebuild = await rebuildWithRecipe(file, recipe);
    await reusePieces(endless(), rebuild);
    expect(rebuild.missing).toEqual({ pieces: 0, bytes: 0 });
    expect(given).toBeLessThan(20);
    await reusePieces(endless(), rebuild);
    expect(given).toBeLessThan(20);
  }
  expect(digestOf(await readFile(path))).toBe(digestOf(tar));
});

test("rejects too few or too many pieces", async () => {
  const tar = madeUp(3);
  await expect(send(tar, [], { pieces: (bytes) => bytes.subarray(0, -1) })).rejects.toThrow(InvalidRecipe);
  await expect(send(tar, [], { pieces: (bytes) => Buffer.concat([bytes, Buffer.from("x")]) })).rejects.toThrow(
    InvalidRecipe,
  );
  await expect(send(tar, [tar], { pieces: () => Buffer.from("x") })).rejects.toThrow(InvalidRecipe);
});

test("rejects a recipe with two lengths for one piece", async () => {
  const piece = (length: number): Instruction => ({ kind: "piece", key: "12345678", length });
  async function* recipe(): AsyncGenerator<Instruction[]> {
    yield [piece(100), piece(101), { kind: "end", size: 201, folders: [] }];
  }
  await using file = await open(join(folder, "two"), "w");
  await expect(rebuildWithRecipe(file, recipe())).rejects.toThrow(InvalidRecipe);
});

test("rejects a recipe without an end", async () => {
  async function* recipe(): AsyncGenerator<Instruction[]> {
    yield [{ kind: "literal", bytes: END }];
  }
  await using file = await open(join(folder, "endless"), "w");
  await expect(rebuildWithRecipe(file, recipe())).rejects.toThrow(InvalidRecipe);
});

test("does not accept a piece of another length, whatever its key", async () => {
  async function* recipe(): AsyncGenerator<Instruction[]> {
    yield [
      { kind: "piece", key: "12345678", length: 100 },
      { kind: "piece", key: "87654321", length: 99 },
      { kind: "end", size: 199, folders: [] },
    ];
  }
  await using file = await open(join(folder, "lengths"), "w");
  const rebuild = await rebuildWithRecipe(file, recipe());
  expect(rebuild.offer("12345678", Buffer.alloc(99))).toBe(false);
  expect(rebuild.missing).toEqual({ pieces: 2, bytes: 199 });
  expect(rebuild.offer("12345678", Buffer.alloc(100))).toBe(true);
  expect(rebuild.offer("12345678", Buffer.alloc(100))).toBe(false);
  expect(rebuild.missing).toEqual({ pieces: 1, bytes: 99 });
});

test("reads and writes thousands of pieces, some of them duplicates, in batches", async () => {
  const files = Array.from({ length: 5000 }, (_, at) =>
    entry({ name: `app/${at}`, content: noise(40 + (at % 2000), at % 1900) }),
  );
  const tar = Buffer.concat([...files, END]);
  const { rebuilt, sent } = await send(tar, [Buffer.concat(files.slice(0, 100))]);
  expect(rebuilt.equals(tar)).toBe(true);
  expect(sent).toBeLessThan(tar.length);
  await using file = await open(join(folder, "from"));
  const index = new PieceIndex();
  for (let at = 0; at < 2000; at += 1) index.add(at * 2000, 1900);
  for await (const piece of index.read(
    file,
    Uint32Array.from({ length: 2000 }, (_, at) => at),
  )) {
    expect(piece.buffer.byteLength).toBeLessThanOrEqual(1024 * 1024);
  }
});

test("rejects a file that became shorter", async () => {
  const index = new PieceIndex();
  index.add(0, 100);
  const path = join(folder, "short");
  await writeFile(path, "only this");
  await using file = await open(path);
  await expect(bytesOf(index.read(file, Uint32Array.of(0)))).rejects.toThrow("shorter");
});

test("rebuilds the file from damaged messages, or its digest shows that it is wrong", async () => {
  const random = pseudoRandom(9);
  const outcomes = { refused: 0, wrong: 0, right: 0 };
  const tars = [3, 4, 5].map((seed) => [madeUp(seed, 1), madeUp(seed)] as const);
  for (let times = 0; times < 60; times += 1) {
    const [tar, base] = tars[Math.floor(times / 3) % 3] as (typeof tars)[0];
    const kind = (["recipe", "missing", "pieces"] as const)[times % 3] as keyof Harm;
    try {
      const { rebuilt } = await send(tar, [base], { [kind]: (bytes: Buffer) => damaged(bytes, random) });
      outcomes[rebuilt.equals(tar) ? "right" : "wrong"] += 1;
      expect(digestOf(rebuilt) === digestOf(tar)).toBe(rebuilt.equals(tar));
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidRecipe);
      outcomes.refused += 1;
    }
  }
  expect(outcomes.refused).toBeGreaterThan(5);
  expect(outcomes.wrong).toBeGreaterThan(0);
});
