import { readdir, rmdir, unlink } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { isLeftover, isRunId } from "./run-id.ts";
import { digestOf, shortOf } from "../image/digest.ts";
import type { Leftover } from "../output/details.ts";

/** A file name of more than this many bytes is shortened, because the name of the partial file has at most 255 bytes. */
const LONG_NAME = 200;

/** Returns the path of the partial file that is later renamed to `path`. Its name contains the run ID. */
export function partialFile(path: string, runId: string): string {
  return `${dirname(path)}${sep}${partialFilePrefix(path)}${runId}.part`;
}

/** Returns the prefix of the names of a file's partial files. */
export function partialFilePrefix(path: string): string {
  const name = basename(path);
  return `${Buffer.byteLength(name) > LONG_NAME ? shortOf(digestOf(name)) : name}.`;
}

/** Removes the partial files of killed runs whose names begin with `beginning` from a folder, and returns their paths. */
export async function removePartialFiles(folder: string, beginning = ""): Promise<Leftover[]> {
  const removed: Leftover[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const runId = name.startsWith(beginning) ? (/\.([^.]+)\.part$/.exec(name)?.[1] ?? "") : "";
    if (!isRunId(runId) || !isLeftover([runId])) continue;
    const path = join(folder, name);
    if (await removePartialFile(path, runId)) removed.push({ kind: "file", path });
  }
  return removed;
}

/** Removes a file, or a folder that contains at most a file whose name is the run ID. Follows no links. Returns whether it was removed. */
export async function removePartialFile(path: string, runId: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch {
    await unlink(join(path, runId)).catch(() => {});
    return await rmdir(path).then(
      () => true,
      () => false,
    );
  }
}
