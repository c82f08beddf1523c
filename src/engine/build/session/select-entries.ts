import type { ContextEntry, ContextFile } from "../../../build-context/build-context.ts";
import { dockerPattern } from "../../../build-context/ignore/docker-pattern.ts";
import { PatternMatcher, type Matched } from "../../../build-context/ignore/pattern-matcher.ts";
import { shownPath } from "../../../build-context/paths.ts";
import { withLinkTargets } from "./link-targets.ts";

/** The entries that BuildKit requests. Paths in Unicode. */
export interface EntryRequest {
  /** The paths that the steps name. The targets of links in them are included */
  followPaths: readonly string[];
  /** Patterns in the syntax of .dockerignore, like {@link excludes} */
  includes: readonly string[];
  excludes: readonly string[];
}

export interface SentEntry {
  /** A hard link whose target is not sent is sent as a file. */
  entry: Exclude<ContextEntry, { kind: "hard-link" }> | HardLink;
  /** The target that is sent for a hard link */
  linkTo?: string;
  /** The file whose content BuildKit may request */
  content?: ContextFile;
}

type HardLink = Extract<ContextEntry, { kind: "hard-link" }>;

/**
 * Returns the entries of a context to send, in its order (tonistiigi/fsutil, `filter.go`): entries that an include pattern matches, the
 * content of matching folders, and the folders above. All names must be UTF-8.
 *
 * @throws SyntaxError for an invalid pattern
 */
export function selectEntries(entries: readonly ContextEntry[], request: EntryRequest): SentEntry[] {
  const followed = request.followPaths.length === 0 ? [] : withLinkTargets(entries, request.followPaths);
  const includes = followed.includes("") ? [] : [...request.includes, ...followed];
  const { excludes } = request;
  const isAll = includes.length === 0 && excludes.length === 0;
  return resolveLinks(isAll ? entries : pick(entries, matcherOf(includes), matcherOf(excludes)), entries);
}

function matcherOf(patterns: readonly string[]): PatternMatcher | undefined {
  if (patterns.length === 0) return undefined;
  return new PatternMatcher(patterns.flatMap((pattern) => dockerPattern(pattern) ?? []));
}

/** A folder that contains the current entry. */
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
    // `excludes` returns whether the patterns match. Here, a match of `includes` means that the entry is included.
    const isIncluded = includes?.excludes(path, parent?.included, included) ?? true;
    const isExcluded = excludes?.excludes(path, parent?.excluded, excluded) ?? false;
    const isPicked = isIncluded && !isExcluded;
    if (isPicked) {
      for (const folder of open.filter((each) => !each.isPicked)) {
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
  /** The path under which the content of a file is sent, by the file's own path */
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
