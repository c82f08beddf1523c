import type { NonEmpty } from "../../non-empty.ts";
import { Failure } from "../../output/errors.ts";

/** More images than a project has. A longer list is probably the wrong file. */
const MAX_IMAGES = 1000;

/** Returns the names without duplicates. Throws a `usage` Failure for none, or for too many. */
export function atLeastOne(names: readonly string[], from = "the command line"): NonEmpty<string> {
  const [first, ...others] = new Set(names);
  if (first === undefined) {
    throw new Failure("usage", `${from} names no image`, {
      expected: "at least one image",
      hint: "Write one name per line; empty lines, and text after a #, are ignored.",
    });
  }
  if (others.length < MAX_IMAGES) return [first, ...others];
  throw new Failure("usage", `${from} names ${others.length + 1} images`, {
    expected: `at most ${MAX_IMAGES} images`,
    hint: "Send them in several runs.",
  });
}

/** Reads a list of images, one per line. Ignores empty lines, and text after a #. */
export function parseImageList(text: string, from: string): NonEmpty<string> {
  const names = text.split(/\r?\n/).map((line) => line.replace(/#.*/, "").trim());
  return atLeastOne(
    names.filter((name) => name !== ""),
    from,
  );
}
