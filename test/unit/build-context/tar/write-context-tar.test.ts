import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTarContext } from "../../../../src/build-context/tar/open-tar-context.ts";
import { writeContextTar } from "../../../../src/build-context/tar/write-context-tar.ts";
import { contentsOf, memoryContext } from "../memory-context.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "write-tar-"));
});
afterAll(async () => await rm(folder, { recursive: true, force: true }));

const LONG = `${"folder/".repeat(30)}${"n".repeat(200)}`;

const context = (): ReturnType<typeof memoryContext> =>
  memoryContext({
    Dockerfile: { content: "FROM scratch\n" },
    "a/script": { content: "#!/bin/sh\n", mode: 0o755 },
    "a/large": { content: Buffer.alloc(300_000, "large") },
    [LONG]: { content: "long" },
    ünï: { content: "é" },
    "a/link": { symlink: "l".repeat(150) },
    "z/linked": { hardLink: "a/script" },
    empty: { folder: true, mode: 0o1777 },
  });

test("a written tar is read back unchanged, except that times are in whole seconds", async () => {
  const from = context();
  const path = join(folder, "context.tar");
  await writeFile(path, await buffer(writeContextTar(from)));
  await using again = await openTarContext(path);
  const withoutPrint = from.entries.map((entry) => {
    const { fingerprint: _, ...rest } = entry as typeof entry & { fingerprint?: string };
    return { ...rest, mtime: Math.floor(entry.mtime / 1e6) * 1e6 };
  });
  expect(again.entries.map((entry) => ({ ...entry, mode: entry.kind === "hard-link" ? 0o644 : entry.mode }))).toEqual(
    withoutPrint,
  );
  expect(await contentsOf(again)).toEqual(await contentsOf(from));
});

test("tar unpacks it", async () => {
  const path = join(folder, "gnu.tar");
  await writeFile(path, await buffer(writeContextTar(context())));
  const to = await mkdtemp(join(folder, "out-"));
  expect(execFileSync("tar", ["-xpf", path, "-C", to], { encoding: "utf8" })).toBe("");
  expect(await readFile(join(to, LONG), "utf8")).toBe("long");
  expect(await readdir(to)).toEqual(expect.arrayContaining(["Dockerfile", "ünï", "empty"]));
  expect((await stat(join(to, "empty"))).mode & 0o7777).toBe(0o1777);
  const [one, other] = [await stat(join(to, "a/script")), await stat(join(to, "z/linked"))];
  expect([one.ino, one.mode & 0o777, one.mtimeMs]).toEqual([other.ino, 0o755, 1_600_000_000_000]);
});

test("names that are not UTF-8 keep their bytes", async () => {
  const from = memoryContext({});
  const name = `\xff\xfe${"\xfd".repeat(150)}`;
  const entries = [{ kind: "file" as const, path: name, mode: 0o644, mtime: 0, size: 0 }];
  const path = join(folder, "raw.tar");
  await writeFile(path, await buffer(writeContextTar({ ...from, entries })));
  await using again = await openTarContext(path);
  expect(again.entries).toEqual(entries);
  expect(execFileSync("tar", ["-tf", path, "--quoting-style=literal"], { encoding: "latin1" }).trim()).toBe(name);
});

test("a file whose size differs from its entry ends the tar with an error", async () => {
  const from = context();
  from.contents.set("Dockerfile", Buffer.from("FROM"));
  await expect(buffer(writeContextTar(from))).rejects.toThrow('"Dockerfile" has changed');
});
