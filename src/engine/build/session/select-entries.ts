import type { ContextEntry, ContextFile } from "../../../build-context/build-context.ts";
import { dockerPattern } from "../../../build-context/ignore/docker-pattern.ts";
import { PatternMatcher, type Matched } from "../../../build-context/ignore/pattern-matcher.ts";
import { shownPath } from "../../../build-context/paths.ts";
import { followLinks } from "./follow-links.ts";

/** Which entries BuildKit asks for, in Unicode. */
export interface EntryRequest {
  /** Those that the steps name; a link in one of them brings what it leads to */
  followPaths: readonly string[];
  /** In the form of .dockerignore, as well as {@link excludes} */
  includes: readonly string[];
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
 * Returns what is sent of a context, in its order (tonistiigi/fsutil, `filter.go`): all that an include pattern matches, or a folder above, with
 * the folders that it is in. No names are sent that are not UTF-8.
 *
 * @throws SyntaxError for a pattern that is none
 */
export function selectEntries(entries: readonly ContextEntry[], request: EntryRequest): SentEntry[] {
  const followed = request.followPaths.length === 0 ? [] : followLinks(entries, request.followPaths);
  const includes = followed.includes("") ? [] : [...request.includes, ...followed];
  const { excludes } = request;
  const isAll = includes.length === 0 && excludes.length === 0;
  return resolveLinks(isAll ? entries : pick(entries, matcherOf(includes), matcherOf(excludes)), entries);
}

function matcherOf(patterns: readonly string[]): PatternMatcher | undefined {
  if (patterns.length === 0) return undefined;
  return new PatternMatcher(patterns.flatMap((pattern) => dockerPattern(pattern) ?? []));
}

/** A folder that the walk is in. */
interface OpenFolder {
  entry: ContextEntry;
  prefix: string;
  included: Matched | undefined;
  excluded: Matched | undefined;
  isPicked: boolean;
}

function pick(
  entries: readonly ContextEntry[],
  includes: PatternMatcher | undefined,
  excludes: PatternMatcher | undefined,
): ContextEntry[] {
  const picked: ContextEntry[] = [];
  const open: OpenFolder[] = [];
  for (const entry of entries) {
    while (open.length > 0 && !entry.path.startsWith((open.at(-1) as OpenFolder).prefix)) open.pop();
    const parent = open.at(-1);
    const path = shownPath(entry.path);
    const isFolder = entry.kind === "folder";
    const included = isFolder ? includes?.emptyMatched() : undefined;
    const excluded = isFolder ? excludes?.emptyMatched() : undefined;
    // A matcher tells what its patterns match, whichever way they are used.
    const isIncluded = includes?.excludes(path, parent?.included, included) ?? true;
    const isExcluded = excludes?.excludes(path, parent?.excluded, excluded) ?? false;
    const isPicked = isIncluded && !isExcluded;
    if (isPicked) {
      for (const folder of open.filter((one) => !one.isPicked)) {
        folder.isPicked = true;
        picked.push(folder.entry);
      }
      picked.push(entry);
    }
    if (isFolder) open.push({ entry, prefix: `${entry.path}/`, included, excluded, isPicked });
  }
  return picked;
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
