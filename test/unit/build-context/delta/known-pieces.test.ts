import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ListedFile } from "../../../../src/build-context/delta/listing.ts";
import { KnownPieces } from "../../../../src/build-context/delta/known-pieces.ts";
import { newRunId } from "../../../../src/run/run-id.ts";
import { pseudoRandom } from "../../pseudo-random.ts";
import { MTIME } from "../memory-context.ts";
import { PROJECT } from "./exchange.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "known-pieces-"));
});
afterEach(async () => await rm(home, { recursive: true }));

const open = async (listedAt = Date.now()): Promise<KnownPieces> =>
  await KnownPieces.open({ env: { XDG_CACHE_HOME: home }, runId: newRunId(), project: PROJECT, listedAt });

const PIECES = [{ digest: "\x01".repeat(32), size: 9 }];

/** @param changedAt µs since 1970 */
function file(path: string, fingerprint: string | undefined = "print", changedAt = MTIME): ListedFile {
  const print = fingerprint && `${fingerprint}-${changedAt.toString(36)}`;
  return { kind: "file", path, mode: 0o644, mtime: MTIME, size: 9, fingerprint: print, pieces: PIECES };
}

const memoryPath = async (): Promise<string> => {
  const folder = join(home, "docker-over-ssh/pieces");
  const [name = ""] = await readdir(folder);
  return join(folder, name);
};

test("remembers unchanged files by path and fingerprint", async () => {
  const known = await open();
  expect(known.isEmpty).toBe(true);
  await known.save([file("a"), file("b")], [{ digest: "\x02".repeat(32), size: 5 }]);
  const next = await open();
  expect(next.piecesOf(file("a"))).toEqual(PIECES);
  expect(next.piecesOf(file("b", "another"))).toBeUndefined();
  expect(next.piecesOf(file("c"))).toBeUndefined();
  expect(next.piecesOf({ ...file("a"), fingerprint: undefined })).toBeUndefined();
  expect([...next.listing]).toEqual(["\x02".repeat(32)]);
  expect((await stat(await memoryPath())).mode & 0o777).toBe(0o600);
});

test("does not remember a file that was changed shortly before it was listed, or since", async () => {
  const now = Date.now();
  const ages = { old: 60_000, young: 1500, newer: -1000 };
  const files = Object.entries(ages).map(([path, ms]) => file(path, path, (now - ms) * 1000));
  await (await open(now)).save(files, []);
  const next = await open();
  expect(files.map((one) => next.piecesOf(one) !== undefined)).toEqual([true, false, false]);
});

test("forgets removed files", async () => {
  await (await open()).save([file("a"), file("b")], []);
  await (await open()).save([file("b")], []);
  const next = await open();
  expect([next.piecesOf(file("a")), next.piecesOf(file("b"))]).toEqual([undefined, PIECES]);
  await next.forget();
  expect((await open()).isEmpty).toBe(true);
});

test("does not write unchanged pieces again", async () => {
  await (await open()).save([file("a")], []);
  const before = await stat(await memoryPath());
  await (await open()).save([file("a")], []);
  expect((await stat(await memoryPath())).ino).toBe(before.ino);
  await (await open()).save([file("a"), file("b")], []);
  expect((await stat(await memoryPath())).ino).not.toBe(before.ino);
});

test("ignores a damaged file", async () => {
  await (await open()).save([file("a"), file("b")], []);
  const path = await memoryPath();
  const good = await readFile(path);
  const random = pseudoRandom(2);
  for (let round = 0; round < 50; round += 1) {
    const bytes = Buffer.from(good.subarray(0, random() < 0.3 ? Math.floor(random() * good.length) : good.length));
    if (bytes.length === good.length) {
      const at = Math.floor(random() * bytes.length);
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 + Math.floor(random() * 255)), at);
    }
    await writeFile(path, bytes);
    expect((await open()).piecesOf(file("a"))).toBeUndefined();
  }
});

test("remembers nothing without a usable cache folder", async () => {
  await writeFile(join(home, "docker-over-ssh"), "a file in its place");
  const known = await open();
  await known.save([file("a")], []);
  await known.forget();
  expect((await open()).isEmpty).toBe(true);
});
