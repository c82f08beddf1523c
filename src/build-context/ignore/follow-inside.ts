import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { statOrNone } from "./read-regular-file.ts";

/** The maximum number of links in one path, as on Linux. */
const MAX_LINKS = 40;

export interface Followed {
  /** The path with all links followed, relative to the root. Undefined if nothing exists there. */
  target: string | undefined;
  /** All links that were followed, relative to the root */
  links: string[];
}

/**
 * Follows a path as BuildKit does in a context: links are resolved as if the context were the root of the file system, so `/x` is in it,
 * and `..` does not lead out of it (fsutil, `FollowLinks`).
 * @param path relative to the root, in UTF-8
 */
export function followInside(root: string, path: string): Followed {
  const links: string[] = [];
  const names = path.split("/");
  const walked: string[] = [];
  while (names.length > 0) {
    const name = names.shift() as string;
    if (name === "" || name === ".") continue;
    if (name === "..") {
      walked.pop();
      continue;
    }
    const current = [...walked, name].join("/");
    const stat = statOrNone(join(root, current));
    if (!stat || (names.length > 0 && !stat.isDirectory() && !stat.isSymbolicLink()))
      return { target: undefined, links };
    if (!stat.isSymbolicLink()) {
      walked.push(name);
      continue;
    }
    links.push(current);
    if (links.length > MAX_LINKS) return { target: undefined, links };
    const link = readlinkSync(join(root, current));
    if (link.startsWith("/")) walked.length = 0;
    names.unshift(...link.split("/"));
  }
  return { target: walked.join("/"), links };
}
