import { isNoSpace } from "../files/no-space.ts";
import { IndexFull } from "../image/oci/index-file.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import type { FileLocation } from "../image/location.ts";
import { Failure, messageOf } from "../output/errors.ts";

/** Lets work with a place fail as a person should be told it. */
export function withLocationErrors(location: FileLocation): <T>(work: Promise<T>) => Promise<T> {
  return async (work) =>
    await work.catch((error: unknown) => {
      throw placeFailure(error, location);
    });
}

/** What went wrong while the place was read or written; others as they are. */
function placeFailure(error: unknown, { path, kind }: FileLocation): unknown {
  if (error instanceof Failure) return error;
  if (error instanceof IndexFull) {
    return new Failure("refused", `${path} has no room for another image: ${error.message}`, {
      expected: "a layout that can still be read when the image is in it",
      hint: "Nothing was given its name. Name another folder, or take images out of this one.",
      cause: error,
    });
  }
  if (error instanceof InvalidImage) {
    return new Failure("not-verified", `${path} is not as it should be: ${error.message}`, {
      expected: kind === "oci" ? "a folder that is an OCI layout, and stays one" : "what was written",
      hint: "Nothing was given its name. Name another path, or mend what is there.",
      cause: error,
    });
  }
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  const full = isNoSpace(error);
  return new Failure(
    full ? "no-space" : "transfer-failed",
    full ? `there is no space left for ${path}` : `${path} cannot be written: ${messageOf(error)}`,
    {
      expected: "room for the whole image, and a folder that this user may write to",
      hint: "Nothing was given its name. Name another path, or make room.",
      cause: error,
    },
  );
}
