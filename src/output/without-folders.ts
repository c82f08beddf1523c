import { basename, resolve } from "node:path";

/**
 * A text without the folders in which files of this machine lie: each of `paths` is shown by its last name, `home` as `~`. What only
 * contains such a path (of `/app`, `docker.io/app` or `/apple`) stays as it is; so does the root, which is in no folder.
 */
export function withoutFolders(paths: readonly string[], home: string): (text: string) => string {
  const shown = new Map<string, string>();
  for (const path of paths) {
    for (const whole of [path, resolve(path)]) shown.set(withoutSlash(whole), basename(path));
  }
  shown.set(withoutSlash(home), "~");
  shown.delete("");
  // The longest first: a file may lie in the home folder.
  const known = [...shown.keys()].toSorted((a, b) => b.length - a.length);
  if (known.length === 0) return (text) => text;
  const alternatives = known.map((path) => path.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
  // Behind a slash only where that ends a scheme, as in unix:///home/me/docker.sock.
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}_.~\\\\-]|(?<!:/)/)(?:${alternatives})(?![\\p{L}\\p{N}])`, "gu");
  return (text) => text.replaceAll(pattern, (path) => shown.get(path) ?? path);
}

function withoutSlash(path: string): string {
  return path.replace(/\/+$/, "");
}
