import { isNoSpace } from "../../files/no-space.ts";
import { IndexFull } from "../../image/oci/index-file.ts";
import { InvalidImage } from "../../image/invalid-image.ts";
import type { FileLocation } from "../../image/location.ts";
import { Failure, messageOf } from "../../output/errors.ts";

/** Returns a function that turns errors of operations on a location into Failures. */
export function locationErrors(location: FileLocation): <T>(work: Promise<T>) => Promise<T> {
  return async (work) =>
    await work.catch((error: unknown) => {
      throw locationFailure(error, location);
    });
}

/** Returns the Failure for an error of reading or writing a location. Returns other errors unchanged. */
function locationFailure(error: unknown, { path, kind }: FileLocation): unknown {
  if (error instanceof Failure) return error;
  if (error instanceof IndexFull) {
    return new Failure("refused", `${path} has no room for another image: ${error.message}`, {
      expected: "a layout that stays within the limits of its readers",
      hint: "No image was added to its index. Name another folder, or remove images from this one.",
      cause: error,
    });
  }
  if (error instanceof InvalidImage) {
    return new Failure("not-verified", `${path} is invalid: ${error.message}`, {
      expected: kind === "oci" ? "a folder that is an OCI layout, and stays one" : "the archive that was written",
      hint: "No image got its name. Name another path, or repair this one.",
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
      hint: "No image got its name. Name another path, or free some space.",
      cause: error,
    },
  );
}
