/**
 * Returns a test for paths that fit a pattern of BuildKit's (moby/patternmatcher): `*` and `?` stay within a name, `**` does not, `[a-z]` is one of
 * these characters, and `\` takes the next one literally.
 */
export function patternTest(pattern: string): (path: string) => boolean {
  if (!hasWildcards(pattern)) return (path) => path === pattern;
  const regExp = new RegExp(`^${source(pattern)}$`, "s");
  return (path) => regExp.test(path);
}

export function hasWildcards(pattern: string): boolean {
  return /[*?[\\]/.test(pattern);
}

/** Returns a path without `.`, `..` and doubled slashes, relative to the root, which `..` does not leave. "": the root. */
export function cleanPath(path: string): string {
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return names.join("/");
}

function source(pattern: string): string {
  let text = "";
  for (let at = 0; at < pattern.length; at += 1) {
    const rest = pattern.slice(at);
    const [group] = /^\[\^?(?:\\.|[^\]\\])+\]/s.exec(rest) ?? [];
    if (rest.startsWith("**/")) {
      text += "(?:.*/)?";
      at += 2;
    } else if (rest.startsWith("**")) {
      text += ".*";
      at += 1;
    } else if (rest[0] === "*") text += "[^/]*";
    else if (rest[0] === "?") text += "[^/]";
    else if (group !== undefined) {
      text += group;
      at += group.length - 1;
    } else if (rest[0] === "\\" && rest.length > 1) {
      text += literal(rest[1] as string);
      at += 1;
    } else text += literal(rest[0] as string);
  }
  return text;
}

function literal(character: string): string {
  return character.replace(/[\\^$.*+?()[\]{}|/]/, String.raw`\$&`);
}
