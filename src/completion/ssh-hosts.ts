import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/** Include lines may form a cycle (ssh_config(5) allows 16 levels). */
const MAX_DEPTH = 16;

/** Returns the hosts in the settings of ssh: those of Host lines without wildcards, also in included files, and known hosts that are not hashed. */
export function sshHosts(home: string): string[] {
  const folder = join(home, ".ssh");
  const known = linesOf(join(folder, "known_hosts")).flatMap((line) => {
    const [names = ""] = line.replace(/^@\S+\s+/, "").split(/\s/);
    return names.split(",").map((name) => name.replace(/^\[(.*)\]:(\d+)$/, "$1:$2"));
  });
  return [...new Set([...hostsIn(join(folder, "config"), folder), ...known])].filter((name) =>
    /^[A-Za-z0-9][\w.-]*(?::\d+)?$/.test(name),
  );
}

function hostsIn(file: string, folder: string, depth = 0): string[] {
  return linesOf(file).flatMap((line) => {
    const [, keyword = "", rest = ""] = /^\s*(host|include)[\s=]+(.*)$/i.exec(line) ?? [];
    const words = rest.split(/\s+/).filter(Boolean);
    if (keyword.toLowerCase() === "host") return words;
    if (keyword === "" || depth >= MAX_DEPTH) return [];
    return words
      .flatMap((pattern) => filesOf(resolve(folder, pattern.replace(/^~\//, `${dirname(folder)}/`))))
      .flatMap((included) => hostsIn(included, folder, depth + 1));
  });
}

/** Expands wildcards in the last part of a path, e.g. the common config.d/*. */
function filesOf(path: string): string[] {
  if (!/[*?]/.test(path)) return [path];
  const source = basename(path)
    .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  try {
    return readdirSync(dirname(path))
      .filter((name) => new RegExp(`^${source}$`).test(name))
      .map((name) => join(dirname(path), name));
  } catch {
    return [];
  }
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n");
  } catch {
    return [];
  }
}
