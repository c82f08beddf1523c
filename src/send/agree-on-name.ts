import type { ImageInfo } from "../engine/engine-images.ts";
import { referenceOrPlaceholder, type ImageName } from "../image/image-name.ts";
import { fullName, parseReference, type Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import type { Asked } from "./source.ts";

/**
 * An engine has many images: both sides must mean the same one. Where it was named by its ID here, it has the name that the receiver
 * gives it, or that this side was told to give it.
 *
 * @param named as this side names it
 * @param info what the engine has found by that; of no use where neither name can be an ID
 * @returns what to call it here, `given` is for the engine
 */
export function agreeOnName(named: ImageName, info: ImageInfo | undefined, asked: Asked): Reference {
  const { image, isGivenName = false, isRenamed = false } = asked;
  const here = isById(named, info) ? undefined : named.reference;
  const isAskedById = isById(image, info);
  if (here !== undefined) {
    const isSame = isAskedById || (image.reference !== undefined && fullName(image.reference) === fullName(here));
    if (!isSame && !isGivenName) throw other(named, image);
    if (!isAskedById || isRenamed) return here;
  } else if (isAskedById ? isRenamed : image.reference !== undefined) {
    const [name] = info?.names ?? [];
    if (name !== undefined) return parseReference(name);
    // Without a tag, because it has none.
    return { domain: "docker.io", path: referenceOrPlaceholder(image).path, given: info?.id ?? named.given };
  }
  if (!isAskedById) throw other(named, image);
  throw new Failure("refused", `${image.given} is the ID of an image, and it needs a name where it arrives`, {
    expected: "the name that it is to get there",
    hint: "Say it on either side with --as NAME, for instance --as app:v2.",
  });
}

/** Whether it is the image's ID, or the beginning of it, and not its name. */
function isById({ digits, reference }: ImageName, info: ImageInfo | undefined): boolean {
  const { id = "", names = [] } = info ?? {};
  if (digits === undefined || !id.startsWith(`sha256:${digits}`)) return false;
  // Podman lists a name without a host with one, localhost or docker.io/library.
  return reference === undefined || !names.some((name) => name.split("/").at(-1) === `${digits}:latest`);
}

function other(named: ImageName, asked: ImageName): Failure {
  return new Failure("refused", `the sending side offers ${named.given}, the receiving side asks for ${asked.given}`, {
    expected: "the same name on both sides",
    hint: `Name ${named.given} in both, or say with --as NAME what it is to be called where it arrives.`,
  });
}
