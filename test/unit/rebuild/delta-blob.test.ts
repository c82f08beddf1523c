import { createReadStream } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { InvalidImage } from "../../../src/image/invalid-image.ts";
import { OtherDeltaBase, rebuildFromDelta, writeDelta } from "../../../src/rebuild/delta-blob.ts";
import { makeTar, type TestEntry } from "../image/tar/make-tar.ts";
import { pseudoRandomBytes } from "../pseudo-random.ts";

const folder = await mkdtemp(join(tmpdir(), "delta-blob-"));
afterAll(async () => await rm(folder, { recursive: true }));
let count = 0;
const newPath = (): string => join(folder, `${count++}`);

/** Returns a tar of files of 10 kB, whose names and contents depend on their seeds. */
const filesOf = async (seeds: number[], more: TestEntry[] = [], mtime = 0): Promise<Buffer> =>
  await makeTar([
    ...seeds.map((seed) => ({ name: `app/${seed}`, content: pseudoRandomBytes(10_000, seed), mtime })),
    ...more,
  ]);
const baseOf = (...tars: Buffer[]) => ({
  async *tars() {
    for (const tar of tars) yield { covers: "/app", tar: Readable.from([tar], { objectMode: false }) };
  },
});

const { signal } = new AbortController();
const big = pseudoRandomBytes(300_000, 99);
const old = await filesOf([1, 2, 3], [{ name: "app/big", content: big }]);
const next = await filesOf([1, 3, 4], [{ name: "app/big", content: Buffer.concat([big, Buffer.from("end")]) }], 77);

/** Writes the delta of `next` against a base. */
async function deltaOf(base: Buffer) {
  const tar = newPath();
  await writeFile(tar, next);
  return await writeDelta({ tar, base: baseOf(base), size: next.length, path: newPath(), signal });
}

/** Rebuilds `next`, and returns its tar. */
async function rebuilt(
  bytes: Buffer,
  base: Buffer,
  { size = next.length, diffId = digestOf(next) }: { size?: number; diffId?: string } = {},
): Promise<Buffer> {
  const path = newPath();
  const open = (): Readable => Readable.from([bytes], { objectMode: false });
  await rebuildFromDelta({ diffId, size, open, base: baseOf(base), path, signal });
  return await readFile(path);
}

test("rebuilds a layer from a delta of the pieces that its base lacks", async () => {
  const delta = await deltaOf(old);
  const bytes = await readFile(delta.path);
  expect(bytes.length).toBe(delta.size);
  expect(digestOf(bytes)).toBe(delta.digest);
  // One new file, and the piece with the end of the large file.
  expect(delta.size).toBeLessThan(10_000 + 150_000);
  expect(delta.bytesFound).toBeGreaterThan(20_000 + 150_000);
  expect((await rebuilt(bytes, old)).equals(next)).toBe(true);
  const path = newPath();
  const open = (): Readable => createReadStream(delta.path);
  expect(
    await rebuildFromDelta({ diffId: digestOf(next), size: next.length, open, base: baseOf(old), path, signal }),
  ).toBe(next.length);
});

test("rebuilds a layer with a base that has none of the files, and with a base that has all of them", async () => {
  for (const base of [await filesOf([]), next]) {
    const { path } = await deltaOf(base);
    expect((await rebuilt(await readFile(path), base)).equals(next)).toBe(true);
  }
});

test("distinguishes a base with other files from a damaged delta", async () => {
  const bytes = await readFile((await deltaOf(old)).path);
  for (const base of [await filesOf([1, 2, 3]), next])
    await expect(rebuilt(bytes, base)).rejects.toThrow(OtherDeltaBase);
});

describe("rejects a hostile delta:", async () => {
  const good = gunzipSync(await readFile((await deltaOf(old)).path));
  const lengths = (recipe: bigint, list: bigint): Buffer => {
    const bytes = Buffer.from(good);
    bytes.writeBigUInt64BE(recipe, 8);
    bytes.writeBigUInt64BE(list, 16);
    return bytes;
  };
  const recipe = good.readBigUInt64BE(8);
  const list = good.readBigUInt64BE(16);
  const changed = (at: number): Buffer => {
    const bytes = Buffer.from(good);
    bytes[at] = (bytes[at] ?? 0) ^ 255;
    return bytes;
  };
  test.each<[string, Buffer]>([
    ["empty", Buffer.alloc(0)],
    ["another file", Buffer.from("x".repeat(1000))],
    ["a header alone", good.subarray(0, 24)],
    ["truncated in the recipe", good.subarray(0, 60)],
    ["truncated in the pieces", good.subarray(0, -1)],
    ["with bytes after it", Buffer.concat([good, Buffer.from("x")])],
    ["a recipe of 2^60 bytes", lengths(2n ** 60n, list)],
    ["a list of 2^60 bytes", lengths(recipe, 2n ** 60n)],
    ["another piece", changed(good.length - 100)],
    ["another recipe", changed(40)],
  ])("%s", async (_, bytes) => await expect(rebuilt(gzipSync(bytes), old)).rejects.toThrow(InvalidImage));

  test("not compressed, of another layer, or larger than announced", async () => {
    const bytes = gzipSync(good);
    await expect(rebuilt(bytes.subarray(0, -5), old)).rejects.toThrow(InvalidImage);
    await expect(rebuilt(bytes, old, { diffId: digestOf("other") })).rejects.toThrow(InvalidImage);
    await expect(rebuilt(bytes, old, { size: next.length - 1 })).rejects.toThrow(InvalidImage);
  });
});

describe("stops while it reads the base:", () => {
  /** A base of two tars. The first one aborts the work. `read`: the number of opened tars. */
  const stopping = () => {
    const stop = new AbortController();
    const seen = { read: 0 };
    const tars = async function* () {
      for (const tar of [old, old]) {
        seen.read += 1;
        stop.abort(new Error("stopped"));
        yield { covers: "/app", tar: Readable.from([tar], { objectMode: false }) };
      }
    };
    return { base: { tars }, signal: stop.signal, seen };
  };

  test("a cut, which reads no further and leaves no file", async () => {
    const [tar, path] = [newPath(), newPath()];
    await writeFile(tar, next);
    const { seen, ...stopped } = stopping();
    await expect(writeDelta({ tar, size: next.length, path, ...stopped })).rejects.toThrow("stopped");
    expect(seen.read).toBe(1);
    expect((await readdir(folder)).filter((name) => join(folder, name).startsWith(path))).toEqual([]);
  });

  test("a rebuild, which reads no further", async () => {
    const bytes = await readFile((await deltaOf(old)).path);
    const open = (): Readable => Readable.from([bytes], { objectMode: false });
    const { seen, ...stopped } = stopping();
    const rebuild = rebuildFromDelta({
      diffId: digestOf(next),
      size: next.length,
      open,
      path: newPath(),
      ...stopped,
    });
    await expect(rebuild).rejects.toThrow("stopped");
    expect(seen.read).toBe(1);
  });
});

test("removes the file of the recipe, and reports the bytes read", async () => {
  const [tar, path] = [newPath(), newPath()];
  await writeFile(tar, next);
  let read = 0;
  await writeDelta({ tar, base: baseOf(old), size: next.length, path, signal, onBytes: (count) => (read += count) });
  expect(await readdir(folder)).not.toContain(`${path.slice(folder.length + 1)}.recipe`);
  expect(read).toBeGreaterThan(next.length + old.length);
});
