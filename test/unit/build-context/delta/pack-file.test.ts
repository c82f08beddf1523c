import { execFileSync } from "node:child_process";
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DamagedPack, PackFile } from "../../../../src/build-context/delta/pack-file.ts";
import { pieceDigest, type FilledPiece, type Piece } from "../../../../src/build-context/delta/piece.ts";
import { pseudoRandom } from "../../pseudo-random.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pack-"));
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

async function packed(...batches: string[][]): Promise<void> {
  await using pack = await PackFile.open(path);
  for (const batch of batches) await pack.append(batch.map(filled));
}

test("finds the stored pieces again; only this user can read the file", async () => {
  await packed(["one", "two"], ["three"]);
  await using pack = await PackFile.open(path);
  expect(pack.isEmpty).toBe(false);
  for (const text of ["one", "two", "three"]) expect((await pack.read(piece(text))).toString()).toBe(text);
  expect(pack.sizeOf(piece("four").digest)).toBeUndefined();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("keeps the pieces before a truncation, and appends new pieces to them", async () => {
  await packed(["one", "two"], ["three", "four"]);
  await truncate(path, (await stat(path)).size - 1);
  {
    await using pack = await PackFile.open(path);
    expect(pack.sizeOf(piece("two").digest)).toBe(3);
    expect(pack.sizeOf(piece("three").digest)).toBeUndefined();
    await pack.append([filled("five")]);
  }
  await using pack = await PackFile.open(path);
  expect((await pack.read(piece("one"))).toString()).toBe("one");
  expect((await pack.read(piece("five"))).toString()).toBe("five");
});

test("truncates a file that is not a pack, and the bytes after the last piece", async () => {
  await writeFile(path, "something else that is longer than the beginning of a pack");
  await using other = await PackFile.open(path);
  expect(other.isEmpty).toBe(true);
  await other.append([filled("one")]);
  const { size } = await stat(path);
  await appendFile(path, Buffer.alloc(5000, 1));
  await using pack = await PackFile.open(path);
  expect((await stat(path)).size).toBe(size);
  expect((await pack.read(piece("one"))).toString()).toBe("one");
});

test("reports a changed piece instead of returning it", async () => {
  await packed(["content of a piece"]);
  const bytes = await readFile(path);
  bytes[bytes.length - 1] = 0;
  await writeFile(path, bytes);
  await using pack = await PackFile.open(path);
  await expect(pack.read(piece("content of a piece"))).rejects.toThrow(DamagedPack);
  await expect(pack.read(piece("never there"))).rejects.toThrow(DamagedPack);
});

test("a rewritten pack contains only the wanted pieces; a reader of the old file can still read all of it", async () => {
  await packed(["one", "two"], ["three"]);
  await using reader = await PackFile.open(path);
  await using pack = await PackFile.open(path);
  await pack.rewrite([piece("three"), piece("one")], `${path}.part`);
  await pack.append([filled("four")]);
  for (const text of ["one", "two", "three"]) expect((await reader.read(piece(text))).toString()).toBe(text);
  await using again = await PackFile.open(path);
  expect(again.sizeOf(piece("two").digest)).toBeUndefined();
  for (const text of ["one", "three", "four"]) expect((await again.read(piece(text))).toString()).toBe(text);
  await reader.remove();
  await expect(stat(path)).resolves.toBeDefined(); // this is the new file
  await again.remove();
  await expect(stat(path)).rejects.toThrow("ENOENT");
});

test("never returns a wrong piece after random damage", async () => {
  const texts = Array.from({ length: 40 }, (_, n) => `piece ${n} `.repeat(n + 1));
  await packed(texts.slice(0, 15), texts.slice(15, 30), texts.slice(30));
  const good = await readFile(path);
  const random = pseudoRandom(8);
  for (let round = 0; round < 60; round += 1) {
    const bytes = Buffer.from(good);
    for (let hits = 1 + Math.floor(random() * 5); hits > 0; hits -= 1) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    await writeFile(path, bytes);
    await using pack = await PackFile.open(path);
    for (const text of texts) {
      if (pack.sizeOf(piece(text).digest) === undefined) continue;
      const read = await pack.read(piece(text)).catch((error: unknown) => error);
      if (Buffer.isBuffer(read)) expect(read.toString()).toBe(text);
      else expect(read).toBeInstanceOf(DamagedPack);
    }
  }
});

/** Appends pieces of 5 kB to a pack until an append fails. Prints the reason, and the number of pieces in the pack afterwards. */
const FILL = `
  const { PackFile } = await import(process.argv[1] + "/build-context/delta/pack-file.js");
  const { createHash } = await import("node:crypto");
  const pack = await PackFile.open(process.argv[2]);
  let count = 0;
  try {
    for (; count < 1000; count++) {
      const content = Buffer.alloc(5000, count);
      content.writeUInt32BE(count);
      await pack.append([{ digest: createHash("sha256").update(content).digest("latin1"), content }]);
    }
  } catch ({ code }) {
    console.log(code, count);
  }`;

test("reports a full disk, and the pieces in the pack stay usable", async () => {
  const dist = join(import.meta.dirname, "../../../../dist");
  const limited = ["-c", 'ulimit -f 100; exec "$@"', "sh", process.execPath, "--input-type=module", "--eval", FILL];
  const output = execFileSync("sh", [...limited, dist, path], { encoding: "utf8" });
  const [, code, count] = /^(\S+) (\d+)\n$/.exec(output) ?? [];
  expect(code).toBe("no-space");
  expect(Number(count)).toBeGreaterThan(5);
  await using pack = await PackFile.open(path);
  const last = Buffer.alloc(5000, Number(count) - 1);
  last.writeUInt32BE(Number(count) - 1);
  expect(await pack.read({ digest: pieceDigest(last), size: 5000 })).toEqual(last);
});
