import type { NonEmpty } from "../non-empty.ts";
import { fullName, parseReference, type Reference } from "./reference.ts";

/** The names of an image in addition to its first one. */
export interface FurtherNames {
  /** The names of --as after the first one */
  names: readonly Reference[];
  /** --tag-also: more tags in the repository of the first name */
  tags: readonly string[];
}

/** Returns the first name and the other ones, each once. */
export function withFurtherNames(
  first: Reference,
  { names, tags }: FurtherNames = { names: [], tags: [] },
): NonEmpty<Reference> {
  const seen = new Set([fullName(first)]);
  const isNew = (other: Reference): boolean => !seen.has(fullName(other)) && seen.add(fullName(other)).size > 0;
  return [first, ...[...names, ...tags.map((tag) => withTag(first, tag))].filter(isNew)];
}

/** Returns the reference with another tag. Preserves its spelling, because Podman has its own rules for short names. */
function withTag({ given, tag }: Reference, other: string): Reference {
  const [named = ""] = given.split("@");
  const repository = tag !== undefined && named.endsWith(`:${tag}`) ? named.slice(0, -`:${tag}`.length) : named;
  return parseReference(`${repository}:${other}`);
}
