import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newRunId } from "../../../src/run/run-id.ts";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { ResumableFile } from "../../../src/store/resumable-file.ts";
import { partialRebuildKey, ResumeCache, LIMITS } from "../../../src/store/resume-cache.ts";

let cache: string;
let folder: string;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "resume-cache-"));
  folder = join(cache, "docker-over-ssh/kept");
});
afterEach(async () => await rm(cache, { recursive: true }));

/** The run of a process ID that does not exist: the maximum on Linux is 4 million. */
const deadRun = (): string => newRunId(999_999_999);
const blob = (name = "layer", size = 10) => ({ mediaType: "x", digest: digestOf(name), size });
const nameOf = (name = "layer", run?: string) => hexOf(digestOf(name)) + (run === undefined ? "" : `.${run}`);
const open = (options: Partial<ConstructorParameters<typeof ResumeCache>[0]> = {}) =>
  new ResumeCache({ env: { XDG_CACHE_HOME: cache }, runId: newRunId(), ...options });

async function put(name: string, content: string | Buffer, daysAgo = 0): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, name), content);
  const at = Date.now() / 1000 - daysAgo * 24 * 3600;
  await utimes(join(folder, name), at, at);
}

async function* incoming(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}

async function* broken(...texts: string[]): AsyncGenerator<Buffer> {
  yield* incoming(...texts);
  throw new Error("the link is gone");
}

async function read(bytes: AsyncIterable<Buffer>): Promise<string> {
  let all = "";
  for await (const chunk of bytes) all += chunk.toString();
  return all;
}

test("stores a partial layer when the transfer is interrupted, and the next run continues after it", async () => {
  const kept: number[] = [];
  {
    await using first = open({ onStored: (bytes) => kept.push(bytes) });
    const file = await first.take(blob());
    await expect(read(file?.pass(broken("abc", "de")) ?? incoming())).rejects.toThrow("the link is gone");
  }
  expect(kept).toEqual([5]);
  expect(await readdir(folder)).toEqual([nameOf()]);
  await using next = open();
  expect(await next.findPartial([digestOf("layer"), digestOf("other")])).toEqual([digestOf("layer")]);
  const file = await next.take(blob());
  expect(file?.resumedBytes).toBe(5);
  expect(await read(file?.pass(incoming("fgh", "ij")) ?? incoming())).toBe("abcdefghij");
  expect(await readFile(file?.path ?? "", "utf8")).toBe("abcdefghij");
  await next.forget();
  expect(await readdir(join(folder, ".."))).toEqual([]);
});

test("stores the bytes that a reader has read before it stops early", async () => {
  const resumeCache = open();
  const file = await resumeCache.take(blob());
  for await (const _ of file?.pass(incoming("abc", "never read")) ?? []) break;
  expect(await readFile(file?.path ?? "", "utf8")).toBe("abc");
  await resumeCache[Symbol.asyncDispose]();
});

test("fetches the last byte of a complete layer again", async () => {
  await put(nameOf(), "abcdefghij");
  await using resumeCache = open();
  expect((await resumeCache.take(blob()))?.resumedBytes).toBe(9);
});

test("creates files that only this user can read", async () => {
  await using resumeCache = open();
  const file = await resumeCache.take(blob());
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  expect((await stat(file?.path ?? "")).mode & 0o777).toBe(0o600);
});

describe("several runs at the same time", () => {
  test("continue in separate files, and the longer file stays", async () => {
    await put(nameOf(), "abcde");
    const [one, two] = [open(), open()];
    const files = [await one.take(blob()), await two.take(blob())];
    expect(files.map((file) => file?.resumedBytes)).toEqual([5, 5]);
    expect(new Set(files.map((file) => file?.path)).size).toBe(2);
    await read(files[1]?.pass(incoming("fg")) ?? incoming());
    await read(files[0]?.pass(incoming("f")) ?? incoming());
    await two[Symbol.asyncDispose]();
    await one[Symbol.asyncDispose]();
    expect(await readdir(folder)).toEqual([nameOf()]);
    expect(await readFile(join(folder, nameOf()), "utf8")).toBe("abcdefg");
  });

  test("take over the same file completely or not at all", async () => {
    await put(nameOf(), "abcde");
    const runs = Array.from({ length: 5 }, () => open());
    const files = await Promise.all(runs.map(async (run) => await run.take(blob())));
    for (const file of files) expect([0, 5]).toContain(file?.resumedBytes);
    expect(files.some((file) => file?.resumedBytes === 5)).toBe(true);
    for (const run of runs) await run[Symbol.asyncDispose]();
    expect(await readFile(join(folder, nameOf()), "utf8")).toBe("abcde");
  });

  test("continue with a copy of the file of a living run", async () => {
    const [dead, alive] = [deadRun(), newRunId()];
    await put(nameOf("layer", dead), "abc");
    await put(nameOf("layer", alive), "abcdef", 100);
    await using resumeCache = open({ limits: { size: 1, age: 1000 } });
    expect(await resumeCache.findPartial([digestOf("layer")])).toEqual([digestOf("layer")]);
    const file = await resumeCache.take(blob());
    expect(file?.resumedBytes).toBe(6);
    await read(file?.pass(incoming("ghij")) ?? incoming());
    await resumeCache.forget();
    expect(await readdir(folder)).toEqual([nameOf("layer", alive)]);
    expect(await readFile(join(folder, nameOf("layer", alive)), "utf8")).toBe("abcdef");
  });

  test("take over the file of a dead run", async () => {
    await put(nameOf("layer", deadRun()), "abc");
    await using resumeCache = open();
    expect((await resumeCache.take(blob()))?.resumedBytes).toBe(3);
    expect(await readdir(folder)).toHaveLength(1);
  });

  test("continue with the longest of several unused files, and remove the others", async () => {
    for (const content of ["abc", "abcde", "a"]) await put(nameOf("layer", deadRun()), content);
    await using resumeCache = open();
    expect((await resumeCache.take(blob()))?.resumedBytes).toBe(5);
    expect(await readdir(folder)).toHaveLength(1);
  });
});

describe("limits", () => {
  const week = LIMITS.age / (24 * 3600 * 1000);

  test("remove files that are too old, also those of killed runs", async () => {
    await put(nameOf("old"), "abc", week + 1);
    await put(nameOf("killed", deadRun()), "abc", week + 1);
    await put(nameOf("young"), "abc", week - 1);
    expect(await open().findPartial([digestOf("young")])).toEqual([digestOf("young")]);
    expect(await readdir(folder)).toEqual([nameOf("young")]);
  });

  test("remove the oldest files beyond the size limit", async () => {
    for (const [days, name] of ["new", "older", "oldest"].entries()) await put(nameOf(name), "abcd", days);
    await open({ limits: { ...LIMITS, size: 9 } }).findPartial([]);
    expect((await readdir(folder)).toSorted()).toEqual([nameOf("new"), nameOf("older")].toSorted());
  });

  test("prevent a file that only serves the next run beyond the limits, or if it takes too much of the disk", async () => {
    await using resumeCache = open({ limits: { ...LIMITS, size: 25 } });
    expect(await resumeCache.takeIfSpace(blob("one"))).toBeDefined();
    expect(await resumeCache.takeIfSpace(blob("two"))).toBeDefined();
    expect(await resumeCache.takeIfSpace(blob("three"))).toBeUndefined();
    await using large = open({ limits: { ...LIMITS, size: Infinity } });
    expect(await large.takeIfSpace(blob("huge", 2 ** 50))).toBeUndefined();
  });

  test("allow freeing space by removing unused files", async () => {
    const alive = newRunId();
    await put(nameOf("free"), "abc");
    await put(nameOf("taken", alive), "abc");
    await open().freeSpace(1);
    expect(await readdir(folder)).toHaveLength(2);
    // A sparse file that is larger than the free space of any disk.
    await truncate(join(folder, nameOf("free")), 2 ** 42);
    await open().freeSpace(2 ** 42);
    expect(await readdir(folder)).toEqual([nameOf("taken", alive)]);
  });

  test("keep all files if all unused files together do not suffice: a sender may announce any size", async () => {
    await put(nameOf("one"), "abc");
    await open().freeSpace(2 ** 50);
    expect(await readdir(folder)).toEqual([nameOf("one")]);
  });
});

describe("does not trust the content of the folder:", () => {
  test("follows no links", async () => {
    const precious = join(cache, "precious");
    await writeFile(precious, "precious");
    await put("x", "");
    await symlink(precious, join(folder, nameOf()));
    await link(precious, join(folder, nameOf("hard")));
    await using resumeCache = open();
    for (const name of ["layer", "hard"]) {
      const file = await resumeCache.take(blob(name));
      expect(file?.resumedBytes ?? 0).toBe(0);
      await read(file?.pass(incoming("other")) ?? incoming());
    }
    expect(await readFile(precious, "utf8")).toBe("precious");
    expect((await lstat(precious)).mode & 0o777).not.toBe(0o600);
  });

  test("does not use a folder that others can write to, or that is a link", async () => {
    await put(nameOf(), "abc");
    await chmod(folder, 0o777);
    expect(await open().findPartial([digestOf("layer")])).toEqual([]);
    expect(await open().take(blob())).toBeUndefined();
    await chmod(folder, 0o700);
    const moved = join(cache, "moved");
    await mkdir(join(moved, "docker-over-ssh"), { recursive: true });
    await symlink(folder, join(moved, "docker-over-ssh/kept"));
    expect(await open({ env: { XDG_CACHE_HOME: moved } }).take(blob())).toBeUndefined();
  });

  test("does not continue a file that is longer than the layer", async () => {
    await put(nameOf(), "more than ten bytes");
    await using resumeCache = open();
    expect((await resumeCache.take(blob()))?.resumedBytes).toBe(0);
  });

  test("removes a file that fails verification", async () => {
    await put(nameOf(), "abc");
    await put("others stay", "");
    {
      await using resumeCache = open();
      const file = await resumeCache.take(blob());
      expect(resumeCache.hasResumedInvalidFile).toBe(false);
      if (file) file.isInvalid = true;
      expect(resumeCache.hasResumedInvalidFile).toBe(true);
    }
    expect(await readdir(folder)).toEqual(["others stay"]);
  });

  test("stores nothing without a folder", async () => {
    await writeFile(join(cache, "file"), "");
    await using resumeCache = open({ env: { XDG_CACHE_HOME: join(cache, "file") } });
    expect(await resumeCache.findPartial([digestOf("layer")])).toEqual([]);
    expect([await resumeCache.take(blob()), await resumeCache.takeIfSpace(blob())]).toEqual([undefined, undefined]);
  });
});

describe("a full disk", () => {
  /** A file on a full disk, which Linux provides. */
  const full = async (): Promise<ResumableFile> => {
    const { open: openFile } = await import("node:fs/promises");
    return new ResumableFile(join(cache, "layer"), await openFile("/dev/full", "r+"));
  };

  test("is an error when the file must be complete", async () => {
    await expect(read((await full()).pass(incoming("abc", "def")))).rejects.toThrow("ENOSPC");
  });

  test("is not an error when the file only serves the next run", async () => {
    const file = await full();
    expect(await read(file.pass(incoming("abc", "def", "ghi"), { keepGoing: () => true }))).toBe("abcdefghi");
  });
});

test.each([
  ["a file that must be complete", {}],
  ["a file for the next run", { keepGoing: () => true }],
])("passes on chunks that arrive after the file was closed, without writing them: %s", async (_, options) => {
  await using resumeCache = open();
  const file = await resumeCache.take(blob());
  const layer = file?.pass(incoming("abc", "def"), options);
  expect((await layer?.next())?.value?.toString()).toBe("abc");
  await file?.close();
  expect((await layer?.next())?.value?.toString()).toBe("def");
  expect((await layer?.next())?.done).toBe(true);
  await resumeCache[Symbol.asyncDispose]();
  expect(await readFile(join(folder, nameOf()), "utf8")).toBe("abc");
});

test("passes on a layer that is no longer worth storing, and removes its file", async () => {
  await using resumeCache = open();
  const file = await resumeCache.take(blob());
  let calls = 0;
  expect(await read(file?.pass(incoming("abc", "def", "ghi"), { keepGoing: () => ++calls < 2 }) ?? incoming())).toBe(
    "abcdefghi",
  );
  expect(calls).toBe(2);
  expect(await readdir(folder)).toEqual([]);
});

test("removes partial files of a layer that was received in another way", async () => {
  await put(nameOf("layer"), "some of it");
  await put(hexOf(partialRebuildKey(digestOf("layer"))), "some of it, with holes");
  await put(nameOf("other"), "of another image");
  await using resumeCache = open();
  expect(await resumeCache.findPartial([blob("layer").digest])).toEqual([blob("layer").digest]);
  await resumeCache.forget();
  expect(await readdir(folder)).toEqual([nameOf("other")]);
});

test("removes a partial blob and a partial rebuild, whichever was continued", async () => {
  const diffId = digestOf("plain");
  await put(nameOf("layer"), "some of it");
  await put(hexOf(partialRebuildKey(diffId)), "some of it, with holes");
  await using resumeCache = open();
  expect([await resumeCache.bytesOf(digestOf("layer")), await resumeCache.bytesOfPartialRebuild(diffId)]).toEqual([
    10, 22,
  ]);
  await resumeCache.forget();
  expect(await readdir(cache)).toEqual(["docker-over-ssh"]);
  expect(await readdir(join(cache, "docker-over-ssh"))).toEqual([]);
});

test("removes an empty file of a killed run with the blob", async () => {
  await put(nameOf("layer", deadRun()), "");
  await using resumeCache = open();
  expect(await resumeCache.findPartial([digestOf("the same layer, unpacked")])).toEqual([]);
  const file = await resumeCache.take(blob());
  expect(await read(file?.pass(incoming("abcdefghij")) ?? incoming())).toBe("abcdefghij");
  expect(await readdir(folder)).toHaveLength(1);
  await put(nameOf("layer", deadRun()), "");
  await resumeCache.forget();
  expect(await readdir(join(folder, ".."))).toEqual([]);
});

test("removes partial files of a layer that is now present with the other files of the image", async () => {
  await put(nameOf("there"), "some of it");
  await put(hexOf(partialRebuildKey(digestOf("there"))), "some of it, with holes");
  await put(nameOf("of another image"), "some of it");
  await using resumeCache = open();
  resumeCache.relate([digestOf("there")]);
  await resumeCache.forget();
  expect(await readdir(folder)).toEqual([nameOf("of another image")]);
});

test("does not count the holes of a partial rebuild", async () => {
  const half = partialRebuildKey(digestOf("layer"));
  await put(hexOf(half), Buffer.alloc(8192, 1));
  await truncate(join(folder, hexOf(half)), 50_000_000);
  await using resumeCache = open();
  const bytes = await resumeCache.bytesOfPartialRebuild(digestOf("layer"));
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThan(1_000_000);
});
