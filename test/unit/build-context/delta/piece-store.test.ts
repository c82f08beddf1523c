import { execFileSync } from "node:child_process";
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DamagedPieceStore, PieceStore } from "../../../../src/build-context/delta/piece-store.ts";
import { pieceDigest, type FilledPiece, type Piece } from "../../../../src/build-context/delta/piece.ts";
import { pseudoRandom } from "../../pseudo-random.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "piece-store-"));
  path = join(folder, "pack");
});
afterEach(async () => await rm(folder, { recursive: true }));

function filled(text: string): FilledPiece {
  const content = Buffer.from(text);
  return { digest: pieceDigest(content), content };
}

function piece(text: string): Piece {
  return { digest: pieceDigest(Buffer.from(text)), size: text.length };
}

async function fill(...groups: string[][]): Promise<void> {
  await using store = await PieceStore.open(path);
  for (const group of groups) await store.append(group.map(filled));
}

test("finds the stored pieces again; only this user can read the file", async () => {
  await fill(["one", "two"], ["three"]);
  await using store = await PieceStore.open(path);
  expect(store.isEmpty).toBe(false);
  for (const text of ["one", "two", "three"]) expect((await store.read(piece(text))).toString()).toBe(text);
  expect(store.sizeOf(piece("four").digest)).toBeUndefined();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("keeps the pieces before a truncation, and appends new pieces to them", async () => {
  await fill(["one", "two"], ["three", "four"]);
  await truncate(path, (await stat(path)).size - 1);
  {
    await using store = await PieceStore.open(path);
    expect(store.sizeOf(piece("two").digest)).toBe(3);
    expect(store.sizeOf(piece("three").digest)).toBeUndefined();
    await store.append([filled("five")]);
  }
  await using store = await PieceStore.open(path);
  expect((await store.read(piece("one"))).toString()).toBe("one");
  expect((await store.read(piece("five"))).toString()).toBe("five");
});

test("truncates a file that is not a piece store, and the bytes after the last piece", async () => {
  await writeFile(path, "something else that is longer than the beginning of a piece store");
  await using other = await PieceStore.open(path);
  expect(other.isEmpty).toBe(true);
  await other.append([filled("one")]);
  const { size } = await stat(path);
  await appendFile(path, Buffer.alloc(5000, 1));
  await using store = await PieceStore.open(path);
  expect((await stat(path)).size).toBe(size);
  expect((await store.read(piece("one"))).toString()).toBe("one");
});

test("reports a changed piece instead of returning it", async () => {
  await fill(["content of a piece"]);
  const bytes = await readFile(path);
  bytes[bytes.length - 1] = 0;
  await writeFile(path, bytes);
  await using store = await PieceStore.open(path);
  await expect(store.read(piece("content of a piece"))).rejects.toThrow(DamagedPieceStore);
  await expect(store.read(piece("never there"))).rejects.toThrow(DamagedPieceStore);
});

test("a rewritten piece store contains only the wanted pieces; a reader of the old file can still read all of it", async () => {
  await fill(["one", "two"], ["three"]);
  await using reader = await PieceStore.open(path);
  await using store = await PieceStore.open(path);
  await store.rewrite([piece("three"), piece("one")], `${path}.part`);
  await store.append([filled("four")]);
  for (const text of ["one", "two", "three"]) expect((await reader.read(piece(text))).toString()).toBe(text);
  await using again = await PieceStore.open(path);
  expect(again.sizeOf(piece("two").digest)).toBeUndefined();
  for (const text of ["one", "three", "four"]) expect((await again.read(piece(text))).toString()).toBe(text);
  await reader.remove();
  await expect(stat(path)).resolves.toBeDefined(); // this is the new file
  await again.remove();
  await expect(stat(path)).rejects.toThrow("ENOENT");
});

test("never returns a wrong piece after random damage", async () => {
  const texts = Array.from({ length: 40 }, (_, n) => `piece ${n} `.repeat(n + 1));
  await fill(texts.slice(0, 15), texts.slice(15, 30), texts.slice(30));
  const good = await readFile(path);
  const random = pseudoRandom(8);
  for (let round = 0; round < 60; round += 1) {
    const bytes = Buffer.from(good);
    for (let hits = 1 + Math.floor(random() * 5); hits > 0; hits -= 1) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    await writeFile(path, bytes);
    await using store = await PieceStore.open(path);
    for (const text of texts) {
      if (store.sizeOf(piece(text).digest) === undefined) continue;
      const read = await store.read(piece(text)).catch((error: unknown) => error);
      if (Buffer.isBuffer(read)) expect(read.toString()).toBe(text);
      else expect(read).toBeInstanceOf(DamagedPieceStore);
    }
  }
});

/** Appends pieces of 5 kB to a piece store until an append fails. Prints the reason, and the number of pieces in it afterwards. */
const FILL = `
  const { PieceStore } = await import(process.argv[1] + "/build-context/delta/piece-store.js");
  const { createHash } = await import("node:crypto");
  const store = await PieceStore.open(process.argv[2]);
  let count = 0;
  try {
    for (; count < 1000; count++) {
      const content = Buffer.alloc(5000, count);
      content.writeUInt32BE(count);
      await store.append([{ digest: createHash("sha256").update(content).digest("latin1"), content }]);
    }
  } catch ({ code }) {
    console.log(code, count);
  }`;

test("reports a full disk, and its pieces stay usable", async () => {
  const dist = join(import.meta.dirname, "../../../../dist");
  const limited = ["-c", 'ulimit -f 100; exec "$@"', "sh", process.execPath, "--input-type=module", "--eval", FILL];
  const output = execFileSync("sh", [...limited, dist, path], { encoding: "utf8" });
  const [, code, count] = /^(\S+) (\d+)\n$/.exec(output) ?? [];
  expect(code).toBe("no-space");
  expect(Number(count)).toBeGreaterThan(5);
  await using store = await PieceStore.open(path);
  const last = Buffer.alloc(5000, Number(count) - 1);
  last.writeUInt32BE(Number(count) - 1);
  expect(await store.read({ digest: pieceDigest(last), size: 5000 })).toEqual(last);
});
