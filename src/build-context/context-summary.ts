import { posix } from "node:path";
import type { BuildContext, ContextFile } from "./build-context.ts";
import { shownPath } from "./paths.ts";

export interface ContextSummary {
  /** The number of entries, without folders */
  files: number;
  /** The size of all files. A hard link adds nothing. */
  bytes: number;
  /** The largest folders and files. None of them contains another. Paths in UTF-8 */
  largest: { path: string; bytes: number }[];
}

/** The maximum length of `largest` */
const NAMED = 5;
/** The minimum share of all bytes for a folder or file in `largest`: smaller ones do not make a context large. */
const SHARE = 0.02;
/** A folder with this share of the bytes of its parent is listed instead of the parent. */
const MAIN_SHARE = 0.9;
/** Folders that programs create, which users ignore as a whole or not at all. Names that begin with a dot count as such folders. */
const MADE_BY_PROGRAMS = new Set([
  "node_modules",
  "target",
  "dist",
  "build",
  "out",
  "vendor",
  "venv",
  "coverage",
  "__pycache__",
]);

interface Tally {
  path: string;
  bytes: number;
  children: Map<string, Tally>;
}

/** Summarises a context. A user who sees the summary before the transfer notices a context that is too large by accident. */
export function contextSummary({ entries }: Pick<BuildContext, "entries">): ContextSummary {
  const files = entries.filter((entry): entry is ContextFile => entry.kind === "file");
  const root: Tally = { path: "", bytes: 0, children: new Map() };
  for (const file of files) add(root, file);
  const largest = [...root.children.values()]
    .map(mainPartOf)
    .filter(({ bytes }) => bytes > root.bytes * SHARE)
    .toSorted((a, b) => b.bytes - a.bytes)
    .slice(0, NAMED)
    .map(({ path, bytes }) => ({ path: shownPath(path), bytes }));
  return { files: entries.filter(({ kind }) => kind !== "folder").length, bytes: root.bytes, largest };
}

function add(root: Tally, { path, size }: ContextFile): void {
  let tally = root;
  tally.bytes += size;
  for (const name of path.split("/")) {
    const child: Tally = tally.children.get(name) ?? {
      path: posix.join(tally.path, name),
      bytes: 0,
      children: new Map(),
    };
    tally.children.set(name, child);
    child.bytes += size;
    tally = child;
  }
}

function mainPartOf(folder: Tally): Tally {
  const name = folder.path.slice(folder.path.lastIndexOf("/") + 1);
  if (name.startsWith(".") || MADE_BY_PROGRAMS.has(name)) return folder;
  for (const child of folder.children.values()) {
    if (child.bytes >= folder.bytes * MAIN_SHARE) return mainPartOf(child);
  }
  return folder;
}

/** Returns the line that excludes a path, for a .dockerignore or for a .gitignore at the top of the context. @param path in UTF-8 */
export function ignoreLine(path: string): string {
  const escaped = path.replaceAll(/[*?[\]\\!#]/g, String.raw`\$&`);
  // White space at the end of a line is not part of a pattern, so ? replaces it. A backslash works only in .gitignore.
  return `/${escaped.replaceAll(/^\s|\s$/g, "?")}`;
}
