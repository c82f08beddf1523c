import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { statOrNone } from "./read-regular-file.ts";

/** Links in one path. Linux allows 40. */
const MAX_LINKS = 40;

export interface Followed {
  /** Where the path leads to, relative to the root and without links. Undefined: there is nothing. */
  target: string | undefined;
  /** All links on the way, relative to the root */
  links: string[];
}

/**
 * Follows a path as BuildKit does in a context: the root of the context is the root of all links, so `/x` is in it, and `..` does not lead
 * out of it (fsutil, `FollowLinks`).
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
    const here = [...walked, name].join("/");
    const stat = statOrNone(join(root, here));
    if (!stat || (names.length > 0 && !stat.isDirectory() && !stat.isSymbolicLink()))
      return { target: undefined, links };
    if (!stat.isSymbolicLink()) {
      walked.push(name);
      continue;
    }
    links.push(here);
    if (links.length > MAX_LINKS) return { target: undefined, links };
    const link = readlinkSync(join(root, here));
    if (link.startsWith("/")) walked.length = 0;
    names.unshift(...link.split("/"));
  }
  return { target: walked.join("/"), links };
}
