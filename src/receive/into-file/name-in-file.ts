import type { LayoutName } from "../../image/oci/oci-layout.ts";
import type { ArchivedName } from "../../image/archived-name.ts";
import type { FileLocation } from "../../image/location.ts";
import { fullName, taggableName, type Reference } from "../../image/reference.ts";
import type { NonEmpty } from "../../non-empty.ts";
import { Failure } from "../../output/errors.ts";

/** The grammar of `org.opencontainers.image.ref.name` (OCI image spec, annotations.md). */
const REF = /^[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*$/;

/**
 * Returns the name of an image in an archive or layout: the name in the location, or else the requested name. In a layout or OCI archive,
 * the text after the colon is only the short name; engines load the image under the requested name. Throws a `usage` Failure for an invalid
 * name.
 */
function nameInFile({ kind, given, name: named }: FileLocation, requested: Reference): LayoutName {
  const image = kind === "docker-archive" && named !== undefined ? referenceIn(named, given) : requested;
  const name = taggableName(image);
  const full = name === undefined ? undefined : fullName(withoutDigest(image));
  if (kind !== "docker-archive" && named !== undefined) {
    if (!REF.test(named.given)) throw invalidName(named.given, given, "it is not a valid name in a layout");
    return { ref: named.given, ...(full !== undefined && { image: full }) };
  }
  if (name === undefined || full === undefined) {
    throw invalidName(image.given, given, "it has a digest and no tag");
  }
  return { ref: name, image: full };
}

/** Returns the names of an image in an archive or layout. The name in the location replaces only the first name. */
export function namesInFile(location: FileLocation, [first, ...others]: NonEmpty<Reference>): NonEmpty<LayoutName> {
  const { name: _, ...unnamed } = location;
  const own = nameInFile(location, first);
  const further = others.map((other) => nameInFile(unnamed, other));
  return [own, ...further.filter(({ ref, image }) => ref !== own.ref && image !== own.image)];
}

/** Returns the short names by which images are found in a layout. For a docker archive, returns the names. */
export function refsOf([first, ...others]: NonEmpty<LayoutName>): NonEmpty<string> {
  return [first.ref, ...others.map(({ ref }) => ref)];
}

function referenceIn(name: ArchivedName, given: string): Reference {
  if (name.reference === undefined) throw invalidName(name.given, given, name.fault);
  return name.reference;
}

function withoutDigest({ given, domain, path, tag }: Reference): Reference {
  return { given, domain, path, ...(tag !== undefined && { tag }) };
}

function invalidName(name: string, given: string, why: string): Failure {
  return new Failure("usage", `${given} cannot name an image ${name}: ${why}`, {
    expected: "a name with a tag",
    hint: "For instance --to docker-archive:app.tar:app:v2 or --to oci:./layout:v2",
  });
}
