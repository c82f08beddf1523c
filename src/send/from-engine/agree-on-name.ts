import type { ImageInfo } from "../../engine/engine-images.ts";
import { referenceOrPlaceholder, type ImageName } from "../../image/image-name.ts";
import { fullName, parseReference, type Reference } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";
import type { RequestedImage } from "../source.ts";

/**
 * Ensures that both sides name the same image of an engine, and returns its reference in the engine. `given` is the name or ID by which the
 * engine finds it. An image that the sender names by ID gets the receiver's name, or the name from --as.
 *
 * @param named the sender's name for the image
 * @param info the image that the engine has under that name; only needed if one of the two names may be an ID
 * @throws Failure `refused` if the names differ, or if the image would have no name at the receiver
 */
export function agreeOnName(named: ImageName, info: ImageInfo | undefined, requested: RequestedImage): Reference {
  const { image, isNewName = false, isRenamed = false } = requested;
  const ownName = isIdOf(info, named) ? undefined : named.reference;
  const isRequestedById = isIdOf(info, image);
  if (ownName !== undefined) {
    const isSame =
      isRequestedById || (image.reference !== undefined && fullName(image.reference) === fullName(ownName));
    if (!isSame && !isNewName) throw differentNames(named, image);
    if (!isRequestedById || isRenamed) return ownName;
  } else if (isRequestedById ? isRenamed : image.reference !== undefined) {
    const [name] = info?.names ?? [];
    if (name !== undefined) return parseReference(name);
    return { domain: "docker.io", path: referenceOrPlaceholder(image).path, given: info?.id ?? named.given };
  }
  if (!isRequestedById) throw differentNames(named, image);
  throw new Failure("refused", `${image.given} is the ID of an image, and the image needs a name at the target`, {
    expected: "a name for the image at the target",
    hint: "Give it on either side with --as NAME, for instance --as app:v2.",
  });
}

/** Returns whether a name is the image's ID or a prefix of it, and not the image's name. */
function isIdOf(info: ImageInfo | undefined, { digits, reference }: ImageName): boolean {
  const { id = "", names = [] } = info ?? {};
  if (digits === undefined || !id.startsWith(`sha256:${digits}`)) return false;
  // Podman lists a name without a host as localhost/NAME or docker.io/library/NAME.
  return reference === undefined || !names.some((name) => name.split("/").at(-1) === `${digits}:latest`);
}

function differentNames(named: ImageName, requested: ImageName): Failure {
  return new Failure(
    "refused",
    `the sending side offers ${named.given}, the receiving side requests ${requested.given}`,
    {
      expected: "the same name on both sides",
      hint: `Name ${named.given} on both sides, or give its name at the target with --as NAME.`,
    },
  );
}
