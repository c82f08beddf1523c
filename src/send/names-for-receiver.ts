import type { Ask } from "../conversation/ask.ts";
import { withFurtherNames, type FurtherNames } from "../image/further-names.ts";
import type { ImageName } from "../image/image-name.ts";
import type { PlatformChoice } from "../image/index-content.ts";
import type { Platform } from "../image/platform.ts";
import { fullName, type Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import type { Source } from "./source.ts";

/** The names that this side gives to the image: --as and --tag-also. */
interface NamesGiven {
  as?: Reference | undefined;
  further?: FurtherNames | undefined;
  platform?: Platform | undefined;
  platforms?: PlatformChoice | undefined;
}

/** Returns the image that the receiver requests. If the receiver accepts any image, uses the name that this side has for the image. */
export async function requestedImage(
  { image, names, isRenamed }: Ask,
  given: NamesGiven,
  source: Source,
): Promise<ImageName> {
  if (image !== undefined) return image;
  if (given.as !== undefined) return { given: given.as.given, reference: given.as };
  const own = await source.name?.(given);
  if (own !== undefined) return own;
  // An archive finds its only image under any name.
  const [receiverName] = names ?? [];
  if (isRenamed && receiverName !== undefined) return { given: receiverName.given, reference: receiverName };
  throw new Failure(
    "refused",
    "the sending side has no name for the image, and the receiving side uses the name that is offered",
    {
      expected: "a name from one of the two sides",
      hint: "Give it on either side with --as NAME, for instance --as app:v2.",
    },
  );
}

/** Returns the number of images that the receiver is to keep. Throws a Failure if the receiver does not accept --keep from this side. */
export function keepToGive(ask: Ask, keep: number | undefined): number | undefined {
  if (keep === undefined || ask.acceptsKeep) return keep;
  throw new Failure("refused", `the receiving side does not accept --keep ${keep} from the sending side`, {
    expected:
      "ssh://HOST, docker://CONTAINER or kubectl://… after the image, and this version on the remote side; or --keep on the receiving side",
    hint: `Give it on the receiving side, for instance ssh HOST "docker-over-ssh pull --keep ${keep} IMAGE".`,
  });
}

/** Returns whether --as names the image. Throws a Failure if the receiver requests another name. */
export function isNameGiven({ as, further }: NamesGiven, { given, reference }: ImageName): boolean {
  if (as === undefined) return false;
  const all = withFurtherNames(as, further);
  if (reference !== undefined && all.some((one) => fullName(one) === fullName(reference))) return true;
  throw new Failure("refused", `the sending side has --as ${as.given}, the receiving side requests ${given}`, {
    expected: "the same name on both sides",
    hint: `Name ${as.given} on the receiving side, or omit --as: the image then gets the name that the receiving side gives.`,
  });
}

/**
 * Returns the names for a receiver that accepts them from this side; undefined if the receiver's own names are sufficient. Throws a Failure
 * if the image would lack one of the names that this side gives.
 */
export function namesToGive(ask: Ask, given: NamesGiven, image: ImageName): readonly Reference[] | undefined {
  const first = given.as ?? image.reference ?? ask.names?.[0];
  if (first === undefined) return undefined; // an ID, which is refused elsewhere if it is not a name
  const all = withFurtherNames(first, given.further);
  if (ask.image === undefined && !ask.isRenamed) return all;
  if (given.further === undefined) return undefined;
  if (ask.acceptsNames) return all;
  const receiverNames = new Set(ask.names?.map(fullName));
  const missing = all.find((name) => !receiverNames.has(fullName(name)));
  if (missing === undefined) return undefined;
  throw new Failure(
    "refused",
    `the sending side names the image ${missing.given} as well, and the receiving side does not`,
    {
      expected:
        ask.names === undefined
          ? "a docker-over-ssh on the receiving side that gives an image several names"
          : "the same names on both sides",
      hint:
        ask.names === undefined
          ? "Install the same version on both sides, or omit the further names: --tag-also, and all but one --as."
          : "Give --as and --tag-also on the receiving side, or let it use the names that are offered: docker-over-ssh pull, without IMAGE.",
    },
  );
}
