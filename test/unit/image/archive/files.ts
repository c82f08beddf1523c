import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll } from "vitest";
import type { TestEntry } from "../tar/make-tar.ts";

/** A folder of the importing test file, removed after its last test. */
export const folder = await mkdtemp(join(tmpdir(), "archive-"));
afterAll(async () => await rm(folder, { recursive: true }));
let files = 0;

/** Writes a new file with this content, and returns its path. */
export async function file(content: Buffer): Promise<string> {
  const path = join(folder, `${(files += 1)}`);
  await writeFile(path, content);
  return path;
}

/** Makes a new folder with the files that a tar of these entries contains, and returns its path. */
export async function unpack(entries: TestEntry[]): Promise<string> {
  const path = await mkdtemp(join(folder, "layout-"));
  for (const { name, content } of entries) {
    if (content === undefined) continue;
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), content);
  }
  return path;
}
