import { InvalidImage } from "../image/invalid-image.ts";
import { Failure, messageOf } from "../output/errors.ts";

/** The sender cannot cut the layer. No part of it has been cut, so it can be fetched whole as announced. */
export class NoRecipe extends Error {
  override readonly name = "NoRecipe";
}

/** Status 404. */
export class NotFound extends Error {}

/** Returns the Failure for a request that got no usable answer. */
export function requestFailure(path: string, error: unknown): Failure {
  return new Failure("registry-unavailable", `the temporary registry did not return ${path}: ${messageOf(error)}`, {
    expected: "the content that the sending side has offered",
    hint: "Run the same command again.",
    cause: error,
  });
}

/** Returns the Failure for content that does not match its digest or its size. */
export function mismatch(what: string): Failure {
  return new Failure("not-verified", `the sending side's registry sent invalid content: ${what}`, {
    expected: "content that has the digest and the size of its descriptor",
    hint: "Nothing was loaded. Run the same command again; if it happens again, please report it.",
  });
}

/** Calls a parser, and throws a Failure for its `InvalidImage`. */
export function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof InvalidImage)) throw error;
    throw new Failure("not-verified", `the image is invalid: ${error.message}`, {
      expected: "the manifest of an image, or an index of manifests",
      hint: "Nothing was loaded. Run the same command again; if it happens again, please report it.",
      cause: error,
    });
  }
}
