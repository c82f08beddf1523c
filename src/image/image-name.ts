import { parseReference, type Reference } from "./reference.ts";

/** A user's name for an image in an engine: a reference, an ID, or the first digits of an ID, which may also be a reference. */
export interface ImageName {
  /** Verbatim. */
  given: string;
  /** Undefined for text that can only be an ID. */
  reference?: Reference;
  /**
   * The first digits of the ID; undefined for text that cannot be an ID. Engines try the name first (moby `daemon/images/image.go`,
   * GetImage).
   */
  digits?: string;
}

/** moby accepts a truncated ID of four digits or more (`daemon/containerd/image.go`, checkTruncatedID). */
const ID = /^(sha256:)?([0-9a-f]{4,64})$/;
const DIGITS_OF_ID = 64;

/** Returns whether text can only be an image ID or the beginning of one. Engines do not try such text as a name. */
export function isImageId(given: string): boolean {
  const [, algorithm, digits = ""] = ID.exec(given) ?? [];
  return algorithm !== undefined || digits.length === DIGITS_OF_ID;
}

/** Parses the name of an image in an engine as the docker CLI does. Throws `InvalidReference`. */
export function parseImageName(given: string): ImageName {
  const [, , digits] = ID.exec(given) ?? [];
  return {
    given,
    ...(!isImageId(given) && { reference: parseReference(given) }),
    ...(digits !== undefined && { digits }),
  };
}

/** Returns the image's reference; for an image named by its ID a placeholder, for use in temporary names. */
export function referenceOrPlaceholder({ given, reference }: ImageName): Reference {
  return reference ?? { given, domain: "docker.io", path: "by-id" };
}
