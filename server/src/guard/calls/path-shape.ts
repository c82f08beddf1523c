/** Matches paths against a path of the table of calls. */
export interface PathShape {
  /** Returns the named parts of a path; undefined for a path that does not match. */
  match(path: string): Record<string, string> | undefined;
}

/**
 * @param path e.g. `/images/{name}/json`. `{name}` matches one or more segments, because names of images may contain
 * slashes; any other part in braces matches one segment.
 */
export function pathShape(path: string): PathShape {
  const names: string[] = [];
  const source = path.replaceAll(/\{(\w+)\}|[.+]/g, (found, name: string | undefined) => {
    if (name === undefined) return `\\${found}`;
    names.push(name);
    return name === "name" ? "(.+)" : "([^/]+)";
  });
  const form = new RegExp(`^${source}$`);
  return {
    match(given) {
      const found = form.exec(given);
      return found === null
        ? undefined
        : Object.fromEntries(names.map((name, index) => [name, found[index + 1] ?? ""]));
    },
  };
}
