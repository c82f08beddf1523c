import { readdir, rmdir, unlink } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { isLeftover, isRunId } from "../run/run-id.ts";
import { digestOf, shortOf } from "../image/digest.ts";

/** Bytes of a file's name from which on there might be no room for what says whose a part is: a name has at most 255. */
const LONG_NAME = 200;

/** A file that is not whole yet, until it takes its place. It says whose it is. */
export function partialFile(path: string, run: string): string {
  return `${dirname(path)}${sep}${partialFilePrefix(path)}${run}.part`;
}

/** What the names of a file's parts begin with. */
export function partialFilePrefix(path: string): string {
  const name = basename(path);
  return `${Buffer.byteLength(name) > LONG_NAME ? shortOf(digestOf(name)) : name}.`;
}

/** Removes such files of killed runs from a folder, of those whose names begin so; says which. */
export async function removePartialFiles(folder: string, beginning = ""): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const run = name.startsWith(beginning) ? (/\.([^.]+)\.part$/.exec(name)?.[1] ?? "") : "";
    if (!isRunId(run) || !isLeftover([run])) continue;
    if (await removePartialFile(join(folder, name), run)) removed.push(join(folder, name));
  }
  return removed;
}

/** Removes a file, or a folder that holds no more than a file called by the run. No link is followed. False when there was none. */
export async function removePartialFile(path: string, run: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch {
    await unlink(join(path, run)).catch(() => {});
    return await rmdir(path).then(
      () => true,
      () => false,
    );
  }
}
