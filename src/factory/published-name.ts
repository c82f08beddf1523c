import type { Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { readName } from "./forced/name-patterns.ts";

/**
 * Returns the name of an image in a registry, `to`: its host, and optionally the beginning of paths there. A name that has this beginning stays.
 * Throws a Failure `usage` for one that belongs to another registry, or is too long there.
 */
export function publishedName(name: Reference, to: string): Reference {
  const given = `${name.domain}/${name.path}`;
  if (given.startsWith(`${to}/`)) return name;
  if (name.domain !== "docker.io") {
    throw new Failure("usage", `${given} belongs to another registry than --push ${to}`, {
      expected: "a name without a registry, or with that one",
      hint: `For instance ${name.path}:${name.tag ?? "latest"}`,
    });
  }
  const path = name.path.replace(/^library\//, "");
  return readName(`${to}/${path}:${name.tag ?? "latest"}`);
}
