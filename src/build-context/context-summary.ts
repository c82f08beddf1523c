import { posix } from "node:path";
import type { BuildContext, ContextFile } from "./build-context.ts";
import { shownPath } from "./paths.ts";

export interface ContextSummary {
  /** Of all kinds that are no folder */
  files: number;
  /** Of their contents; a hard link has none of its own. */
  bytes: number;
  /** The largest folders and files, of which none is in another. Paths in UTF-8 */
  largest: { path: string; bytes: number }[];
}

/** How many of the largest are named */
const NAMED = 5;
/** What a folder or file must have of the whole to be named: what has less is not what makes a context large. */
const SHARE = 0.02;
/** A folder that has most of the bytes of the one above it is named in its place. */
const MOST = 0.9;
/** Folders that programs make: they are left out as a whole, or not at all. Names with a dot at the start are taken for such, too. */
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

/** Adds up a context, so that one that is too large by accident can be told before it is sent. */
export function contextSummary({ entries }: Pick<BuildContext, "entries">): ContextSummary {
  const files = entries.filter((entry): entry is ContextFile => entry.kind === "file");
  const root: Tally = { path: "", bytes: 0, children: new Map() };
  for (const file of files) add(root, file);
  const largest = [...root.children.values()]
    .map(mostOf)
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

function mostOf(folder: Tally): Tally {
  const name = folder.path.slice(folder.path.lastIndexOf("/") + 1);
  if (name.startsWith(".") || MADE_BY_PROGRAMS.has(name)) return folder;
  for (const child of folder.children.values()) {
    if (child.bytes >= folder.bytes * MOST) return mostOf(child);
  }
  return folder;
}

/** Returns the line of a .dockerignore, or of a .gitignore at the top of the context, that leaves out a path. @param path in UTF-8 */
export function ignoreLine(path: string): string {
  const escaped = path.replaceAll(/[*?[\]\\!#]/g, String.raw`\$&`);
  // White space at the end of a line is no part of a pattern; ? stands for any character. A backslash would work in .gitignore alone.
  return `/${escaped.replaceAll(/^\s|\s$/g, "?")}`;
}
