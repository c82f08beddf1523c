import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isLeftBy, isRunId } from "../engine/run-id.ts";

/** A file that is not whole yet, until it takes its place. It says whose it is. */
export function partOf(path: string, run: string): string {
  return `${path}.${run}.part`;
}

/** Removes such files of killed runs from a folder, of those whose names begin so; says which. */
export async function removeParts(folder: string, beginning = ""): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const run = name.startsWith(beginning) ? (/\.([^.]+)\.part$/.exec(name)?.[1] ?? "") : "";
    if (!isRunId(run) || !isLeftBy([run])) continue;
    await rm(join(folder, name), { force: true });
    removed.push(join(folder, name));
  }
  return removed;
}
