import { isImageId } from "../../image/image-name.ts";
import { parseReference } from "../../image/reference.ts";

/** An image's name, as the engine's API wants it: in parts. */
export interface NameParts {
  /** As it was given, e.g. `localhost:5000/app`: an engine may have rules of its own for short names. */
  repository: string;
  /** Only when there is one: nothing is made up. */
  tag?: string;
  digest?: string;
  /** The registry that the name belongs to, in the spelling of the engine's credentials. */
  registry: string;
}

/**
 * `repository[:tag][@digest]` in its parts.
 *
 * @throws InvalidReference: whoever calls has checked the name.
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

/** What an engine finds an image by, a name or an ID, for the path of a request. It is nothing else in there. */
export function inPath(image: string): string {
  if (!isImageId(image)) parseReference(image);
  return image;
}
