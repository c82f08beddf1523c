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
  cache = await mkdtemp(join(tmpdir(), "kept-layers-"));
  folder = join(cache, "docker-over-ssh/kept");
});
afterEach(async () => await rm(cache, { recursive: true }));

/** No process has that number: Linux ends at 4 million. */
const deadRun = (): string => newRunId(999_999_999);
const blob = (name = "layer", size = 10) => ({ mediaType: "x", digest: digestOf(name), size });
const nameOf = (name = "layer", run?: string) => hexOf(digestOf(name)) + (run === undefined ? "" : `.${run}`);
const open = (options: Partial<ConstructorParameters<typeof ResumeCache>[0]> = {}) =>
  new ResumeCache({ env: { XDG_CACHE_HOME: cache }, run: newRunId(), ...options });

async function put(name: string, content: string | Buffer, daysAgo = 0): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, name), content);
  const at = Date.now() / 1000 - daysAgo * 24 * 3600;
  await utimes(join(folder, name), at, at);
}

async function* coming(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}

async function* broken(...texts: string[]): AsyncGenerator<Buffer> {
  yield* coming(...texts);
  throw new Error("the link is gone");
}

async function read(bytes: AsyncIterable<Buffer>): Promise<string> {
  let all = "";
  for await (const chunk of bytes) all += chunk.toString();
  return all;
}

test("what has come of a layer stays when it breaks off, and the next run continues behind it", async () => {
  const told: number[] = [];
  {
    await using first = open({ onKept: (bytes) => told.push(bytes) });
    const file = await first.take(blob());
    await expect(read(file?.pass(broken("abc", "de")) ?? coming())).rejects.toThrow("the link is gone");
  }
  expect(told).toEqual([5]);
  expect(await readdir(folder)).toEqual([nameOf()]);
  await using next = open();
  expect(await next.begun([digestOf("layer"), digestOf("other")])).toEqual([digestOf("layer")]);
  const file = await next.take(blob());
  expect(file?.resumedBytes).toBe(5);
  expect(await read(file?.pass(coming("fgh", "ij")) ?? coming())).toBe("abcdefghij");
  expect(await readFile(file?.path ?? "", "utf8")).toBe("abcdefghij");
  await next.forget();
  expect(await readdir(join(folder, ".."))).toEqual([]);
});

test("a reader that leaves early leaves what it has read", async () => {
  const kept = open();
  const file = await kept.take(blob());
  for await (const _ of file?.pass(coming("abc", "never read")) ?? []) break;
  expect(await readFile(file?.path ?? "", "utf8")).toBe("abc");
  await kept[Symbol.asyncDispose]();
});

test("of a layer that is there as a whole, the last byte is asked for again", async () => {
  await put(nameOf(), "abcdefghij");
  await using kept = open();
  expect((await kept.take(blob()))?.resumedBytes).toBe(9);
});

test("only this user can look into them", async () => {
  await using kept = open();
  const file = await kept.take(blob());
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  expect((await stat(file?.path ?? "")).mode & 0o777).toBe(0o600);
});

describe("two runs at once", () => {
  test("each continues in a file of its own, and the longer one stays", async () => {
    await put(nameOf(), "abcde");
    const [one, two] = [open(), open()];
    const files = [await one.take(blob()), await two.take(blob())];
    expect(files.map((file) => file?.resumedBytes)).toEqual([5, 5]);
    expect(new Set(files.map((file) => file?.path)).size).toBe(2);
    await read(files[1]?.pass(coming("fg")) ?? coming());
    await read(files[0]?.pass(coming("f")) ?? coming());
    await two[Symbol.asyncDispose]();
    await one[Symbol.asyncDispose]();
    expect(await readdir(folder)).toEqual([nameOf()]);
    expect(await readFile(join(folder, nameOf()), "utf8")).toBe("abcdefg");
  });

  test("of two that want the same file in one moment, neither is left with half of it", async () => {
    await put(nameOf(), "abcde");
    const runs = Array.from({ length: 5 }, () => open());
    const files = await Promise.all(runs.map(async (run) => await run.take(blob())));
    for (const file of files) expect([0, 5]).toContain(file?.resumedBytes);
    expect(files.some((file) => file?.resumedBytes === 5)).toBe(true);
    for (const run of runs) await run[Symbol.asyncDispose]();
    expect(await readFile(join(folder, nameOf()), "utf8")).toBe("abcde");
  });

  test("what a living one has is left alone, and continued in a copy", async () => {
    const [dead, alive] = [deadRun(), newRunId()];
    await put(nameOf("layer", dead), "abc");
    await put(nameOf("layer", alive), "abcdef", 100);
    await using kept = open({ limits: { size: 1, age: 1000 } });
    expect(await kept.begun([digestOf("layer")])).toEqual([digestOf("layer")]);
    const file = await kept.take(blob());
    expect(file?.resumedBytes).toBe(6);
    await read(file?.pass(coming("ghij")) ?? coming());
    await kept.forget();
    expect(await readdir(folder)).toEqual([nameOf("layer", alive)]);
    expect(await readFile(join(folder, nameOf("layer", alive)), "utf8")).toBe("abcdef");
  });

  test("what a dead one had is taken over", async () => {
    await put(nameOf("layer", deadRun()), "abc");
    await using kept = open();
    expect((await kept.take(blob()))?.resumedBytes).toBe(3);
    expect(await readdir(folder)).toHaveLength(1);
  });

  test("of several files that are free, the longest is continued, and the others go", async () => {
    for (const content of ["abc", "abcde", "a"]) await put(nameOf("layer", deadRun()), content);
    await using kept = open();
    expect((await kept.take(blob()))?.resumedBytes).toBe(5);
    expect(await readdir(folder)).toHaveLength(1);
  });
});

describe("limits", () => {
  const week = LIMITS.age / (24 * 3600 * 1000);

  test("what is too old goes, the killed runs' too", async () => {
    await put(nameOf("old"), "abc", week + 1);
    await put(nameOf("killed", deadRun()), "abc", week + 1);
    await put(nameOf("young"), "abc", week - 1);
    expect(await open().begun([digestOf("young")])).toEqual([digestOf("young")]);
    expect(await readdir(folder)).toEqual([nameOf("young")]);
  });

  test("of what is too much, the oldest goes", async () => {
    for (const [days, name] of ["new", "older", "oldest"].entries()) await put(nameOf(name), "abcd", days);
    await open({ limits: { ...LIMITS, size: 9 } }).begun([]);
    expect((await readdir(folder)).toSorted()).toEqual([nameOf("new"), nameOf("older")].toSorted());
  });

  test("what would be there for the next run alone is not kept beyond them, nor where the disk needs its room", async () => {
    await using kept = open({ limits: { ...LIMITS, size: 25 } });
    expect(await kept.takeIfRoom(blob("one"))).toBeDefined();
    expect(await kept.takeIfRoom(blob("two"))).toBeDefined();
    expect(await kept.takeIfRoom(blob("three"))).toBeUndefined();
    await using large = open({ limits: { ...LIMITS, size: Infinity } });
    expect(await large.takeIfRoom(blob("huge", 2 ** 50))).toBeUndefined();
  });

  test("room is made of what nobody is at", async () => {
    const alive = newRunId();
    await put(nameOf("free"), "abc");
    await put(nameOf("taken", alive), "abc");
    await open().makeRoom(1);
    expect(await readdir(folder)).toHaveLength(2);
    // Larger than any disk's free space, and taking none of it.
    await truncate(join(folder, nameOf("free")), 2 ** 42);
    await open().makeRoom(2 ** 42);
    expect(await readdir(folder)).toEqual([nameOf("taken", alive)]);
  });

  test("nor when all of them together would not make it: a sender may say any size", async () => {
    await put(nameOf("one"), "abc");
    await open().makeRoom(2 ** 50);
    expect(await readdir(folder)).toEqual([nameOf("one")]);
  });
});

describe("what is on the disk is not trusted", () => {
  test("a link is not followed, to wherever it leads", async () => {
    const precious = join(cache, "precious");
    await writeFile(precious, "precious");
    await put("x", "");
    await symlink(precious, join(folder, nameOf()));
    await link(precious, join(folder, nameOf("hard")));
    await using kept = open();
    for (const name of ["layer", "hard"]) {
      const file = await kept.take(blob(name));
      expect(file?.resumedBytes ?? 0).toBe(0);
      await read(file?.pass(coming("other")) ?? coming());
    }
    expect(await readFile(precious, "utf8")).toBe("precious");
    expect((await lstat(precious)).mode & 0o777).not.toBe(0o600);
  });

  test("nor a folder that others can write to, or that is somewhere else", async () => {
    await put(nameOf(), "abc");
    await chmod(folder, 0o777);
    expect(await open().begun([digestOf("layer")])).toEqual([]);
    expect(await open().take(blob())).toBeUndefined();
    await chmod(folder, 0o700);
    const moved = join(cache, "moved");
    await mkdir(join(moved, "docker-over-ssh"), { recursive: true });
    await symlink(folder, join(moved, "docker-over-ssh/kept"));
    expect(await open({ env: { XDG_CACHE_HOME: moved } }).take(blob())).toBeUndefined();
  });

  test("one that is longer than the layer is not continued", async () => {
    await put(nameOf(), "more than ten bytes");
    await using kept = open();
    expect((await kept.take(blob()))?.resumedBytes).toBe(0);
  });

  test("what turns out to be wrong goes", async () => {
    await put(nameOf(), "abc");
    await put("others stay", "");
    {
      await using kept = open();
      const file = await kept.take(blob());
      expect(kept.hasResumedInvalidFile).toBe(false);
      if (file) file.isInvalid = true;
      expect(kept.hasResumedInvalidFile).toBe(true);
    }
    expect(await readdir(folder)).toEqual(["others stay"]);
  });

  test("where there can be no folder, nothing is kept", async () => {
    await writeFile(join(cache, "file"), "");
    await using kept = open({ env: { XDG_CACHE_HOME: join(cache, "file") } });
    expect(await kept.begun([digestOf("layer")])).toEqual([]);
    expect([await kept.take(blob()), await kept.takeIfRoom(blob())]).toEqual([undefined, undefined]);
  });
});

describe("a disk that is full", () => {
  /** As Linux has one that is. */
  const full = async (): Promise<ResumableFile> => {
    const { open: openFile } = await import("node:fs/promises");
    return new ResumableFile(join(cache, "layer"), await openFile("/dev/full", "r+"));
  };

  test("ends what is to be in the file", async () => {
    await expect(read((await full()).pass(coming("abc", "def")))).rejects.toThrow("ENOSPC");
  });

  test("does not end what is only kept", async () => {
    const file = await full();
    expect(await read(file.pass(coming("abc", "def", "ghi"), { keepGoing: () => true }))).toBe("abcdefghi");
  });
});

test.each([
  ["what is to be in it", {}],
  ["what is only kept", { keepGoing: () => true }],
])("what still comes after it has been let go of changes nothing of what is kept: %s", async (_, options) => {
  await using kept = open();
  const file = await kept.take(blob());
  const layer = file?.pass(coming("abc", "def"), options);
  expect((await layer?.next())?.value?.toString()).toBe("abc");
  await file?.close();
  expect((await layer?.next())?.value?.toString()).toBe("def");
  expect((await layer?.next())?.done).toBe(true);
  await kept[Symbol.asyncDispose]();
  expect(await readFile(join(folder, nameOf()), "utf8")).toBe("abc");
});

test("a layer that is no longer worth it goes on without being kept", async () => {
  await using kept = open();
  const file = await kept.take(blob());
  let asked = 0;
  expect(await read(file?.pass(coming("abc", "def", "ghi"), { keepGoing: () => ++asked < 2 }) ?? coming())).toBe(
    "abcdefghi",
  );
  expect(asked).toBe(2);
  expect(await readdir(folder)).toEqual([]);
});

test("what is there of a layer that has come in another way goes as well", async () => {
  await put(nameOf("layer"), "some of it");
  await put(hexOf(partialRebuildKey(digestOf("layer"))), "some of it, with holes");
  await put(nameOf("other"), "of another image");
  await using kept = open();
  expect(await kept.begun([blob("layer").digest])).toEqual([blob("layer").digest]);
  await kept.forget();
  expect(await readdir(folder)).toEqual([nameOf("other")]);
});

test("so do the beginning of a blob and what was half made, of which one was chosen", async () => {
  const diffId = digestOf("plain");
  await put(nameOf("layer"), "some of it");
  await put(hexOf(partialRebuildKey(diffId)), "some of it, with holes");
  await using kept = open();
  expect([await kept.bytesOf(digestOf("layer")), await kept.bytesOfPartialRebuild(diffId)]).toEqual([10, 22]);
  await kept.forget();
  expect(await readdir(cache)).toEqual(["docker-over-ssh"]);
  expect(await readdir(join(cache, "docker-over-ssh"))).toEqual([]);
});

test("what a run that was killed before anything came has left of a blob goes with it", async () => {
  await put(nameOf("layer", deadRun()), "");
  await using kept = open();
  expect(await kept.begun([digestOf("the same layer, unpacked")])).toEqual([]);
  const file = await kept.take(blob());
  expect(await read(file?.pass(coming("abcdefghij")) ?? coming())).toBe("abcdefghij");
  expect(await readdir(folder)).toHaveLength(1);
  await put(nameOf("layer", deadRun()), "");
  await kept.forget();
  expect(await readdir(join(folder, ".."))).toEqual([]);
});

test("what is left of a layer that is there by now goes with the image's others", async () => {
  await put(nameOf("there"), "some of it");
  await put(hexOf(partialRebuildKey(digestOf("there"))), "some of it, with holes");
  await put(nameOf("of another image"), "some of it");
  await using kept = open();
  kept.concerns([digestOf("there")]);
  await kept.forget();
  expect(await readdir(folder)).toEqual([nameOf("of another image")]);
});

test("of a half made layer only what is on the disk counts, not its holes", async () => {
  const half = partialRebuildKey(digestOf("layer"));
  await put(hexOf(half), Buffer.alloc(8192, 1));
  await truncate(join(folder, hexOf(half)), 50_000_000);
  await using kept = open();
  const there = await kept.bytesOfPartialRebuild(digestOf("layer"));
  expect(there).toBeGreaterThan(0);
  expect(there).toBeLessThan(1_000_000);
});
