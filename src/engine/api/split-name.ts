import { isImageId } from "../../image/image-name.ts";
import { parseReference } from "../../image/reference.ts";

/** The parts of an image's name, as the engine's API expects them. */
export interface NameParts {
  /** Verbatim, e.g. `localhost:5000/app`, because an engine may have its own rules for short names. */
  repository: string;
  /** Undefined if the name has none. */
  tag?: string;
  digest?: string;
  /** The name's registry, as engines spell it in credentials. */
  registry: string;
}

/**
 * Splits `repository[:tag][@digest]`.
 *
 * @throws InvalidReference
 */
export function splitName(reference: string): NameParts {
  const { domain, tag, digest } = parseReference(reference);
  const [named = ""] = reference.split("@");
  const hasTag = tag !== undefined && named.endsWith(`:${tag}`); // without one, `tag` is the default
  return {
    repository: hasTag ? named.slice(0, -`:${tag}`.length) : named,
    ...(hasTag && { tag }),
    ...(digest !== undefined && { digest }),
    registry: domain === "docker.io" ? "https://index.docker.io/v1/" : domain,
  };
}

/** Returns an image's name or ID for use in the path of a request. Throws for anything else. */
export function inPath(image: string): string {
  if (!isImageId(image)) parseReference(image);
  return image;
}
