import type { Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { readName } from "./forced/name-patterns.ts";

/**
 * Returns the name of an image in a registry. `to` is the host of the registry, optionally with a prefix of paths. A name that has this
 * prefix stays unchanged. Throws a Failure `usage` for a name that belongs to another registry, or would be too long.
 */
export function publishedName(name: Reference, to: string): Reference {
  const given = `${name.domain}/${name.path}`;
  if (given.startsWith(`${to}/`)) return name;
  if (name.domain !== "docker.io") {
    throw new Failure("usage", `${given} belongs to another registry than --push ${to}`, {
      expected: "a name without a registry, or in that registry",
      hint: `For instance ${name.path}:${name.tag ?? "latest"}`,
    });
  }
  const path = name.path.replace(/^library\//, "");
  return readName(`${to}/${path}:${name.tag ?? "latest"}`);
}
