import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GrowingFile } from "../../../src/departure/growing-file.ts";
import { queue } from "../../../src/streams/queue.ts";

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), "growing-"))));
afterEach(async () => await rm(folder, { recursive: true }));

const newFile = async (): Promise<GrowingFile> => await GrowingFile.create(join(folder, "file"));

test("readers see what is written while it is written, and its end", async () => {
  await using file = await newFile();
  const source = queue<Buffer>();
  const written = file.writeAll(source);
  const reader = file.read()[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  source.push(Buffer.from("one "));
  expect((await reader.next()).value?.toString()).toBe("one ");
  source.push(Buffer.from("two"));
  expect((await reader.next()).value?.toString()).toBe("two");
  expect(file.unread).toBe(0);
  source.end();
  await written;
  expect((await reader.next()).done).toBe(true);
  const late: Buffer[] = [];
  for await (const chunk of file.read()) late.push(chunk as Buffer);
  expect(Buffer.concat(late).toString()).toBe("one two");
});

test("it knows what nobody has read yet, and nobody else can read it", async () => {
  await using file = await newFile();
  const source = queue<Buffer>();
  source.push(Buffer.alloc(1000));
  source.end();
  await file.writeAll(source);
  expect([file.size, file.unread]).toEqual([1000, 1000]);
  for await (const _chunk of file.read());
  expect(file.unread).toBe(0);
  expect((await stat(join(folder, "file"))).mode & 0o777).toBe(0o600);
});

test("when writing fails, so does reading", async () => {
  await using file = await newFile();
  async function* source(): AsyncGenerator<Buffer> {
    yield Buffer.from("one");
    throw new Error("the disk is full");
  }
  const written = file.writeAll(source());
  const read = (async () => {
    for await (const _chunk of file.read());
  })();
  await expect(written).rejects.toThrow("the disk is full");
  await expect(read).rejects.toThrow("the disk is full");
});

test("a reader that waits is woken when the file goes", async () => {
  const file = await newFile();
  const written = file.writeAll(queue<Buffer>());
  written.catch(() => {});
  const read = (async () => {
    for await (const _chunk of file.read());
  })();
  read.catch(() => {});
  await file[Symbol.asyncDispose]();
  await expect(read).rejects.toThrow("not being sent any more");
});
