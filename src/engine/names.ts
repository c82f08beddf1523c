/** An image's name, as the engine's API wants it: in parts. */
export interface NameParts {
  /** e.g. `localhost:5000/app`. */
  repository: string;
  tag?: string;
  digest?: string;
}

/**
 * `repository[:tag][@digest]` in its parts. Only as much of the grammar (distribution/reference) as keeps a name from being
 * anything else in the path of a request: letters, digits and `._/:@-`, no empty and no `..` segment.
 *
 * @throws TypeError: whoever calls has checked the name.
 */
export function splitName(reference: string): NameParts {
  if (!/^[\w.:@/-]+$/.test(reference) || reference.split("/").some((segment) => /^\.{0,2}$/.test(segment))) {
    throw new TypeError(`not an image reference: ${JSON.stringify(reference)}`);
  }
  const [named = "", digest] = reference.split("@");
  const colon = named.lastIndexOf(":");
  const hasTag = colon > named.lastIndexOf("/");
  return {
    repository: hasTag ? named.slice(0, colon) : named,
    ...(hasTag && { tag: named.slice(colon + 1) }),
    ...(digest !== undefined && { digest }),
  };
}

/** The registry that a name belongs to, in the spelling of the engine's credentials. */
export function registryOf(repository: string): string {
  const [first = "", ...path] = repository.split("/");
  const isHost = path.length > 0 && (/[.:]/.test(first) || first === "localhost");
  return isHost && first !== "docker.io" ? first : "https://index.docker.io/v1/";
}
