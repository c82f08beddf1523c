import type { BuildContext, ContextEntry } from "../../../../src/build-context/build-context.ts";
import { comparePaths, toEntryPath } from "../../../../src/build-context/paths.ts";

/** Files by path, in UTF-8. Their folders are added. */
export type MemoryFiles = Record<string, string | MemoryFile | { linkTo: string }>;

interface MemoryFile {
  text: string;
  /** Seconds since 1970 */
  mtime?: number;
  /** The path of the file that the entry is a hard link to */
  sameAs?: string;
}

const MTIME = 1_700_000_000;

/** Returns a build context in memory. Adds the paths of the files that are read to `reads`. */
export function memoryContext(files: MemoryFiles, reads: string[] = []): BuildContext {
  const entries = new Map<string, ContextEntry>();
  for (const [name, file] of Object.entries(files)) {
    const names = name.split("/");
    for (let depth = 1; depth < names.length; depth += 1) {
      const path = toEntryPath(names.slice(0, depth).join("/"));
      entries.set(path, { kind: "folder", path, mode: 0o755, mtime: MTIME * 1e6 });
    }
    entries.set(toEntryPath(name), entryOf(toEntryPath(name), file));
  }
  return {
    entries: [...entries.values()].toSorted((a, b) => comparePaths(a.path, b.path)),
    async *read({ path }) {
      const name = Buffer.from(path, "latin1").toString("utf8");
      reads.push(name);
      const file = files[name] as string | MemoryFile;
      yield Buffer.from(typeof file === "string" ? file : file.text);
    },
    async [Symbol.asyncDispose]() {},
  };
}

function entryOf(path: string, file: MemoryFiles[string]): ContextEntry {
  if (typeof file === "string")
    return { kind: "file", path, mode: 0o644, mtime: MTIME * 1e6, size: Buffer.byteLength(file) };
  if ("linkTo" in file)
    return { kind: "symlink", path, mode: 0o777, mtime: MTIME * 1e6, target: toEntryPath(file.linkTo) };
  const { text, mtime = MTIME, sameAs } = file;
  if (sameAs !== undefined)
    return { kind: "hard-link", path, mode: 0o644, mtime: mtime * 1e6, target: toEntryPath(sameAs) };
  return { kind: "file", path, mode: 0o644, mtime: mtime * 1e6, size: Buffer.byteLength(text) };
}
