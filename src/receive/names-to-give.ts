import { malformed } from "../conversation/fields.ts";
import type { About, Result } from "../conversation/messages.ts";
import { withFurtherNames, type FurtherNames } from "../image/further-names.ts";
import type { Reference } from "../image/reference.ts";
import type { NonEmpty } from "../non-empty.ts";
import { Failure } from "../output/errors.ts";

/** The names in a request to receive an image. */
export interface NamesRequested {
  name?: Reference | undefined;
  further?: FurtherNames | undefined;
  acceptsNames?: boolean | undefined;
}

/** Returns the names of the image that this side has set; undefined if it accepts the names that are offered. */
export function ownNames({ name, further }: NamesRequested): NonEmpty<Reference> | undefined {
  return name && withFurtherNames(name, further);
}

/** Returns the names verbatim, for the `result`. */
export function givenNames([first, ...others]: NonEmpty<Reference>): Result["names"] {
  return [first.given, ...others.map(({ given }) => given)];
}

/** Returns all names that the image gets: the names of this side, and those of the sender if this side accepts them. */
export function imageNames(
  { name, further, acceptsNames }: NamesRequested,
  { names: offered = [] }: About,
): NonEmpty<Reference> {
  const { names = [], tags = [] } = further ?? {};
  if (name !== undefined) return withFurtherNames(name, { names: [...(acceptsNames ? offered : []), ...names], tags });
  const [first, ...others] = offered;
  if (first === undefined) throw malformed("about");
  return withFurtherNames(first, { names: [...others, ...names], tags });
}

/** Returns the Failure for a sender of version 0.1, from which an image can only be requested by its name. */
export function offersNoName(tool: string): Failure {
  return new Failure(
    "refused",
    `the remote side is docker-over-ssh ${tool}, which does not send the name of its image`,
    {
      expected: "the name of an image, or a docker-over-ssh on the remote side that offers one",
      hint: "Name the image: docker-over-ssh pull IMAGE. Or install the same version on both sides.",
    },
  );
}
