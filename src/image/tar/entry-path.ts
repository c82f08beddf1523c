import { InvalidImage } from "../invalid-image.ts";

/**
 * The path of an archive's entry in the one form that paths are compared in: without `../archive/` and without a slash at either end,
 * "" for the archive's own folder. A path with a slash before it is one within the archive, as Docker reads it. No path of a tar
 * ever becomes a path of the file system; what only an attack needs is refused all the same. Throws {@link InvalidImage}.
 */
export function entryPath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "." && part !== "");
  if (parts.includes("..") || name.includes("\0")) {
    throw new InvalidImage(`the archive has an entry named ${quoted(name)}, which leads out of it`);
  }
  return parts.join("/");
}

/**
 * Where a link leads: a symbolic one from the folder that it is in; a hard one, which names an entry and so may have a slash before it
 * as well, from the archive's own folder. Throws {@link InvalidImage}.
 */
export function linkTarget(path: string, type: "symlink" | "link", target: string): string {
  if (type === "symlink" && target.startsWith("/")) throw leadsOut(path, target);
  const from = type === "symlink" ? path.split("/").slice(0, -1) : [];
  for (const part of target.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") from.push(part);
    else if (from.pop() === undefined) throw leadsOut(path, target);
  }
  return from.join("/");
}

/** For a message: of a length that can be read, and without control characters. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name);
}

function leadsOut(path: string, target: string): InvalidImage {
  return new InvalidImage(`the archive's link ${quoted(path)} leads out of it, to ${quoted(target)}`);
}
