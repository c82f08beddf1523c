import { basename, resolve } from "node:path";

/**
 * Returns a function that removes folders of this machine from a text: it replaces each of `paths` by its last name, and `home` by `~`. A longer
 * name that contains such a path stays unchanged (for `/app`: `docker.io/app`, `/apple`), and so does the root.
 */
export function withoutFolders(paths: readonly string[], home: string): (text: string) => string {
  const shown = new Map<string, string>();
  for (const path of paths) {
    for (const whole of [path, resolve(path)]) shown.set(withoutSlash(whole), basename(path));
  }
  shown.set(withoutSlash(home), "~");
  shown.delete("");
  // Longest first, because a path may begin with the home folder.
  const known = [...shown.keys()].toSorted((a, b) => b.length - a.length);
  if (known.length === 0) return (text) => text;
  const alternatives = known.map((path) => path.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
  // After a slash only at the end of a scheme, as in unix:///home/me/docker.sock.
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}_.~\\\\-]|(?<!:/)/)(?:${alternatives})(?![\\p{L}\\p{N}])`, "gu");
  return (text) => text.replaceAll(pattern, (path) => shown.get(path) ?? path);
}

function withoutSlash(path: string): string {
  return path.replace(/\/+$/, "");
}
