import { InvalidImage } from "../invalid-image.ts";

/**
 * Normalises the path of an archive's entry: without `./` and without a slash at either end, "" for the archive's root. A leading slash
 * means the archive's root, as for Docker. Throws {@link InvalidImage} for a path that leads out of the archive, although paths of a tar
 * are never used in the file system.
 */
export function normalisedPath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "." && part !== "");
  if (parts.includes("..") || name.includes("\0")) {
    throw new InvalidImage(`the archive has an entry named ${quoted(name)}, which leads out of it`);
  }
  return parts.join("/");
}

/**
 * Returns the path that a link leads to. A symbolic link is relative to its folder; a hard link names an entry from the archive's root and may
 * have a leading slash. Throws {@link InvalidImage} for a link that leads out of the archive.
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

/** Quotes an untrusted name for a message, truncated and without control characters. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name);
}

function leadsOut(path: string, target: string): InvalidImage {
  return new InvalidImage(`the archive's link ${quoted(path)} leads out of it, to ${quoted(target)}`);
}
