import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll } from "vitest";
import type { TestEntry } from "../tar/make-tar.ts";

/** A folder of the importing test file. It is removed after the last test. */
export const folder = await mkdtemp(join(tmpdir(), "archive-"));
afterAll(async () => await rm(folder, { recursive: true }));
let files = 0;

/** Writes a new file with this content, and returns its path. */
export async function file(content: Buffer): Promise<string> {
  const path = join(folder, `${(files += 1)}`);
  await writeFile(path, content);
  return path;
}

/** Creates a new folder with the files that a tar of these entries contains, and returns its path. */
export async function unpack(entries: TestEntry[]): Promise<string> {
  const path = await mkdtemp(join(folder, "layout-"));
  for (const { name, content } of entries) {
    if (content === undefined) continue;
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), content);
  }
  return path;
}

/** Unpacks a tar with tar(1), and returns the size of each file by its path. */
export async function filesInTar(tar: Buffer): Promise<Record<string, number>> {
  const to = await mkdtemp(join(folder, "unpacked-"));
  await promisify(execFile)("tar", ["-xf", await file(tar), "-C", to]);
  const sizes: Record<string, number> = {};
  for (const name of await readdir(to, { recursive: true })) {
    const found = await stat(join(to, name));
    if (found.isFile()) sizes[name] = found.size;
  }
  return sizes;
}
