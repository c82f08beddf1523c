import { chown, mkdir, mkdtemp, open, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { newRunId } from "../../../../../src/run/run-id.ts";
import { digestOf } from "../../../../../src/image/digest.ts";
import { removeDeadSpools } from "../../../../../src/run/spool-folder.ts";
import { uploadSpool, UploadFile } from "../../../../../src/registry/embedded/push/upload-spool.ts";

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), "embedded-"))));
afterEach(async () => await rm(folder, { recursive: true }));

test("creates a spool that only this user can read, and removes it with its files", async () => {
  const spool = uploadSpool(newRunId(), folder);
  const file = await spool.create();
  await file.write(Buffer.from("some bytes"));
  const path = (await spool.open()).folder;
  expect((await stat(path)).mode & 0o777).toBe(0o700);
  expect((await stat(file.path)).mode & 0o777).toBe(0o600);
  const blob = await file.finish();
  expect(blob).toMatchObject({ digest: digestOf("some bytes"), size: 10 });
  expect((await buffer(await blob.open())).toString()).toBe("some bytes");
  expect((await buffer(await blob.open({ first: 5, last: 7 }))).toString()).toBe("byt");
  await blob.remove();
  await blob.remove();
  await (await spool.create()).remove();
  expect(await readdir(path)).toEqual([]);
  await (await spool.create()).finish();
  await spool[Symbol.asyncDispose]();
  expect(await readdir(folder)).toEqual([]);
});

test("needs no cache folder without uploads", async () => {
  const nowhere = uploadSpool(newRunId(), undefined);
  await expect(nowhere.create()).rejects.toMatchObject({ code: "no-space" });
  await nowhere[Symbol.asyncDispose]();
  await uploadSpool(newRunId(), join(folder, "none"))[Symbol.asyncDispose]();
  expect(await readdir(folder)).toEqual([]);
});

test("reads a file to its end while it is written", async () => {
  await using spool = uploadSpool(newRunId(), folder);
  const file = await spool.create();
  const reader = file.read()[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const part = buffer(file.read({ first: 2, last: 5 }));
  await file.write(Buffer.from("one "));
  expect((await reader.next()).value?.toString()).toBe("one ");
  const waiting = reader.next();
  await file.write(Buffer.from("two"));
  expect((await waiting).value?.toString()).toBe("two");
  expect((await part).toString()).toBe("e tw");
  const end = reader.next();
  const blob = await file.finish();
  expect((await end).done).toBe(true);
  expect((await buffer(await blob.open())).toString()).toBe("one two");
});

test("fails to read a file that is given up", async () => {
  await using spool = uploadSpool(newRunId(), folder);
  const file = await spool.create();
  const read = buffer(file.read());
  read.catch(() => {});
  await file.write(Buffer.from("one "));
  await file.remove();
  await expect(read).rejects.toThrow("given up");
});

test("removes leftovers of a killed run, but not the files of a living run", async () => {
  const cache = join(folder, "docker-over-ssh");
  await mkdir(cache, { mode: 0o700 });
  await using living = uploadSpool(newRunId(), cache);
  await living.open();
  const dead = newRunId(2 ** 22 + 1); // greater than any process ID
  await mkdir(join(cache, `spool-${dead}-abcdef`));
  await writeFile(join(cache, `spool-${dead}-abcdef`, "1"), "");
  const others = ["spool-x", `spool-${newRunId()}-abcdef`, "mine"];
  for (const name of others) await mkdir(join(cache, name));
  await symlink(join(cache, "mine"), join(cache, `spool-${dead}-ghijkl`));
  await using next = uploadSpool(newRunId(), cache);
  await removeDeadSpools({ XDG_CACHE_HOME: folder });
  await next.open();
  const spools = [living, next].map(async (spool) => basename((await spool.open()).folder));
  const stay = [...(await Promise.all(spools)), ...others, `spool-${dead}-ghijkl`];
  expect((await readdir(cache)).toSorted()).toEqual(stay.toSorted());
});

test.skipIf(process.platform !== "linux")("reports a full disk as a no-space failure", async () => {
  const file = new UploadFile(join(folder, "1"), await open("/dev/full", "w"));
  await expect(file.write(Buffer.from("x"))).rejects.toMatchObject({ code: "no-space", cause: { code: "ENOSPC" } });
  await file.remove();
});

test.skipIf(process.getuid?.() !== 0)("does not remove another user's folder, whatever its name", async () => {
  const theirs = join(folder, `spool-${newRunId(2 ** 22 + 1)}-abcdef`);
  await mkdir(theirs);
  await chown(theirs, 65_534, 65_534);
  await using spool = uploadSpool(newRunId(), folder);
  await spool.open();
  expect((await stat(theirs)).isDirectory()).toBe(true);
});
