import type { ContextEntry, ContextFile } from "../../../build-context/build-context.ts";
import { followLinks } from "./follow-links.ts";
import { cleanPath, hasWildcards, patternTest } from "./patterns.ts";

/** Which entries BuildKit asks for. Paths and patterns have one character for each byte, as those of entries. */
export interface EntryRequest {
  /** Those that the steps name; a link in one of them brings what it leads to */
  followPaths: readonly string[];
  includes: readonly string[];
  /** In the form of .dockerignore: the last pattern that fits decides, and `!` lets in again. */
  excludes: readonly string[];
}

export interface SentEntry {
  /** A hard link whose target is not sent is sent as the file. */
  entry: Exclude<ContextEntry, { kind: "hard-link" }> | HardLink;
  /** The path that a hard link is sent with */
  linkTo?: string;
  /** The file whose bytes may be asked for */
  content?: ContextFile;
}

type HardLink = Extract<ContextEntry, { kind: "hard-link" }>;

/**
 * Returns what is sent of a context, in its order (tonistiigi/fsutil, `filter.go`): all that fits an include pattern, or is in a folder that
 * does, with the folders that it is in.
 */
export function selectEntries(entries: readonly ContextEntry[], request: EntryRequest): SentEntry[] {
  const followed = request.followPaths.length === 0 ? [] : followLinks(entries, request.followPaths);
  const includes = [...request.includes.map(cleanPath), ...followed];
  const isAll = includes.length === 0 || followed.includes("");
  const picked = isAll && request.excludes.length === 0 ? entries : pick(entries, isAll ? [] : includes, request.excludes);
  return resolveLinks(picked, entries);
}

/** A folder that the walk is in. */
interface OpenFolder {
  entry: ContextEntry;
  prefix: string;
  isIncluded: boolean;
  /** Which exclude patterns fit it or a folder above */
  excludedBy: readonly boolean[];
  isPicked: boolean;
}

function pick(entries: readonly ContextEntry[], includes: readonly string[], excludes: readonly string[]): ContextEntry[] {
  const isIncluded = anyOf(includes);
  const rules = excludes.map((pattern) => {
    const keeps = pattern.startsWith("!");
    return { keeps, fits: patternTest(cleanPath(keeps ? pattern.slice(1) : pattern)) };
  });
  const picked: ContextEntry[] = [];
  const open: OpenFolder[] = [];
  for (const entry of entries) {
    while (open.length > 0 && !entry.path.startsWith((open.at(-1) as OpenFolder).prefix)) open.pop();
    const parent = open.at(-1);
    const included = parent?.isIncluded === true || isIncluded(entry.path);
    const excludedBy = rules.map(({ fits }, at) => parent?.excludedBy[at] === true || fits(entry.path));
    const last = excludedBy.lastIndexOf(true);
    const isPicked = included && (last === -1 || rules[last]?.keeps === true);
    if (isPicked) {
      for (const folder of open.filter((one) => !one.isPicked)) {
        folder.isPicked = true;
        picked.push(folder.entry);
      }
      picked.push(entry);
    }
    if (entry.kind === "folder") {
      open.push({ entry, prefix: `${entry.path}/`, isIncluded: included, excludedBy, isPicked });
    }
  }
  return picked;
}

/** @param patterns none: all paths fit */
function anyOf(patterns: readonly string[]): (path: string) => boolean {
  if (patterns.length === 0) return () => true;
  const literal = new Set(patterns.filter((pattern) => !hasWildcards(pattern)));
  const tests = patterns.filter(hasWildcards).map(patternTest);
  return (path) => literal.has(path) || tests.some((test) => test(path));
}

function resolveLinks(picked: readonly ContextEntry[], all: readonly ContextEntry[]): SentEntry[] {
  const isLink = ({ kind }: ContextEntry): boolean => kind === "hard-link";
  if (!picked.some(isLink)) return picked.map((entry) => sent(entry as Exclude<ContextEntry, HardLink>));
  const files = new Map(all.flatMap((entry) => (entry.kind === "file" ? [[entry.path, entry]] : [])));
  /** Where the content of a file is sent, by the file's own path */
  const sentAs = new Map<string, string>();
  return picked.map((entry) => {
    if (entry.kind !== "hard-link") {
      if (entry.kind === "file") sentAs.set(entry.path, entry.path);
      return sent(entry);
    }
    const linkTo = sentAs.get(entry.target);
    const file = files.get(entry.target);
    if (linkTo !== undefined || file === undefined) return { entry, linkTo: linkTo ?? entry.target };
    sentAs.set(entry.target, entry.path);
    return { entry: { ...file, path: entry.path }, content: file };
  });
}

function sent(entry: Exclude<ContextEntry, HardLink>): SentEntry {
  return entry.kind === "file" ? { entry, content: entry } : { entry };
}
