import { parseReference, type Reference } from "./reference.ts";

/** What an image is called where it is: its name, its ID, or the ID's first digits, which may be a name as well. */
export interface ImageName {
  /** As it was typed. */
  given: string;
  /** Left out for what can be nothing but an ID. */
  reference?: Reference;
  /** The ID's first digits; engines look for a name first (moby `daemon/images/image.go`, GetImage). Left out for what can be no ID. */
  digits?: string;
}

/** moby takes four digits and more for a part of an ID (`daemon/containerd/image.go`, checkTruncatedID). */
const ID = /^(sha256:)?([0-9a-f]{4,64})$/;
const DIGITS_OF_ID = 64;

/** Whether an engine looks for no name, but for an ID, or the beginning of one. */
export function isImageId(given: string): boolean {
  const [, algorithm, digits = ""] = ID.exec(given) ?? [];
  return algorithm !== undefined || digits.length === DIGITS_OF_ID;
}

/** Reads what an engine finds an image by, as the docker CLI does. Throws InvalidReference. */
export function parseImageName(given: string): ImageName {
  const [, , digits] = ID.exec(given) ?? [];
  return {
    given,
    ...(!isImageId(given) && { reference: parseReference(given) }),
    ...(digits !== undefined && { digits }),
  };
}

/** A reference with whose path temporary names can be made, also for an image that is known by its ID. */
export function referenceOrPlaceholder({ given, reference }: ImageName): Reference {
  return reference ?? { given, domain: "docker.io", path: "by-id" };
}
