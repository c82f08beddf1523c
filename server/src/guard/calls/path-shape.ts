/** Matches paths against a path of the table. */
export interface PathShape {
  /** Returns the parts of a path that the shape names; undefined for a path that does not match. */
  match(path: string): Record<string, string> | undefined;
}

/** @param path e.g. `/images/{name}/json`. `{name}` is one or more segments, as names of images have; every other part in braces is one. */
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
