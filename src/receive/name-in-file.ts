import type { LayoutName } from "../image/oci/oci-layout.ts";
import type { FileLocation } from "../image/location.ts";
import { fullName, InvalidReference, parseReference, taggableName, type Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";

/** What an index may call an image (OCI image spec, annotations.md, the grammar of `org.opencontainers.image.ref.name`). */
const REF = /^[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*$/;

/**
 * What a file or a folder calls an image: as the place says, or by the name that was asked for. In a layout the text behind the
 * colon is only the short name: the image keeps the name that it was asked for by, and engines load it under that.
 * Throws a `usage` Failure for what can be no name.
 */
export function nameInFile({ kind, given, reference }: FileLocation, asked: Reference): LayoutName {
  const image = kind === "docker-archive" && reference !== undefined ? parsed(reference, given) : asked;
  const name = taggableName(image);
  const whole = name === undefined ? undefined : fullName(parseReference(name));
  if (kind !== "docker-archive" && reference !== undefined) {
    if (!REF.test(reference)) throw noName(reference, given, "it is not a name for an image in a layout");
    return { ref: reference, ...(whole !== undefined && { image: whole }) };
  }
  if (name === undefined || whole === undefined) {
    throw noName(image.given, given, "it names an image by its digest alone");
  }
  return { ref: name, image: whole };
}

function parsed(reference: string, given: string): Reference {
  try {
    return parseReference(reference);
  } catch (error) {
    if (error instanceof InvalidReference) throw noName(reference, given, error.message);
    throw error;
  }
}

function noName(name: string, given: string, why: string): Failure {
  return new Failure("usage", `${given} cannot hold an image called ${name}: ${why}`, {
    expected: "a name with a tag",
    hint: "For instance --to docker-archive:app.tar:app:v2 or --to oci:./layout:v2",
  });
}
