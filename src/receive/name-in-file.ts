import type { LayoutName } from "../image/oci/oci-layout.ts";
import type { FileLocation } from "../image/location.ts";
import { fullName, InvalidReference, parseReference, taggableName, type Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";

/** The grammar of `org.opencontainers.image.ref.name` (OCI image spec, annotations.md). */
const REF = /^[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*$/;

/**
 * Returns the name of an image in an archive or layout: the one in the location, or else the requested one. In a layout or OCI archive, the
 * text after the colon is only the short name; engines load the image under the requested name. Throws a `usage` Failure for an invalid
 * name.
 */
export function nameInFile({ kind, given, reference }: FileLocation, requested: Reference): LayoutName {
  const image = kind === "docker-archive" && reference !== undefined ? parsed(reference, given) : requested;
  const name = taggableName(image);
  const full = name === undefined ? undefined : fullName(parseReference(name));
  if (kind !== "docker-archive" && reference !== undefined) {
    if (!REF.test(reference)) throw invalidName(reference, given, "it is not a valid name in a layout");
    return { ref: reference, ...(full !== undefined && { image: full }) };
  }
  if (name === undefined || full === undefined) {
    throw invalidName(image.given, given, "it has a digest and no tag");
  }
  return { ref: name, image: full };
}

function parsed(reference: string, given: string): Reference {
  try {
    return parseReference(reference);
  } catch (error) {
    if (error instanceof InvalidReference) throw invalidName(reference, given, error.message);
    throw error;
  }
}

function invalidName(name: string, given: string, why: string): Failure {
  return new Failure("usage", `${given} cannot name an image ${name}: ${why}`, {
    expected: "a name with a tag",
    hint: "For instance --to docker-archive:app.tar:app:v2 or --to oci:./layout:v2",
  });
}
