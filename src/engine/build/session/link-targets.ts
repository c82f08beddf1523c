import type { ContextEntry } from "../../../build-context/build-context.ts";
import { dockerPattern } from "../../../build-context/ignore/docker-pattern.ts";
import { shownPath } from "../../../build-context/paths.ts";

/** The maximum number of steps for all paths together: two links that lead to each other would never end. */
const MAX_STEPS = 10_000;

/**
 * Returns the paths, and the targets of the symbolic links in them (tonistiigi/fsutil, `followlinks.go`). A name with wildcards is compared
 * with the names in its folder. "" means all entries.
 */
export function withLinkTargets(entries: readonly ContextEntry[], paths: readonly string[]): string[] {
  const links = new Map(
    entries.flatMap((entry) =>
      entry.kind === "symlink" ? [[shownPath(entry.path), shownPath(entry.target)] as const] : [],
    ),
  );
  const resolved = new Set<string>();
  const waiting = paths.map(cleanPath);
  for (let steps = 0; waiting.length > 0 && steps < MAX_STEPS; steps += 1) {
    const path = waiting.pop() as string;
    const names = path === "" ? [] : path.split("/");
    let at = 0;
    let targets: string[] = [];
    for (; at < names.length && targets.length === 0; at += 1)
      targets = targetsOf(names.slice(0, at + 1).join("/"), links);
    const current = names.slice(0, at).join("/");
    if (resolved.has(current)) continue;
    resolved.add(current);
    waiting.push(...targets.map((target) => cleanPath([target, ...names.slice(at)].join("/"))));
  }
  return [...resolved];
}

/** Returns the targets of the links that match a path. */
function targetsOf(path: string, links: ReadonlyMap<string, string>): string[] {
  const [folder, name] = [path.slice(0, path.lastIndexOf("/") + 1), path.slice(path.lastIndexOf("/") + 1)];
  if (!hasWildcards(name)) {
    const target = links.get(path);
    return target === undefined ? [] : [target.startsWith("/") ? target : `${folder}${target}`];
  }
  const fits = dockerPattern(name)?.matches ?? (() => false);
  return [...links].flatMap(([link, target]) => {
    if (!link.startsWith(folder) || link.includes("/", folder.length) || !fits(link.slice(folder.length))) return [];
    return [target.startsWith("/") ? target : `${folder}${target}`];
  });
}

/** Returns whether a name is a pattern. A backslash makes the next character literal. */
function hasWildcards(name: string): boolean {
  return /[*?[]/.test(name.replaceAll(/\\./gs, ""));
}

/** Returns a path without `.`, `..` and doubled slashes, relative to the root, which `..` does not leave. Returns "" for the root. */
function cleanPath(path: string): string {
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return names.join("/");
}
