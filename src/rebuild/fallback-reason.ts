import { InvalidRecipe, TruncatedRecipe } from "../delta/recipe-errors.ts";
import { isNoSpace } from "../files/no-space.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { Failure } from "../output/errors.ts";
import { NoRecipe } from "../registry/registry-client.ts";
import { RebuildTooSlow } from "./delta-choice.ts";

/** What the sender said of the layer cannot be so, or is not all. */
export function isWrong(error: unknown): boolean {
  return error instanceof InvalidRecipe || error instanceof InvalidImage;
}

/** Why a layer comes whole that was to be made of pieces; undefined: the transfer fails. */
export function fallbackReason(error: unknown): string | undefined {
  if (error instanceof NoRecipe) return "the sending side cannot cut it";
  if (error instanceof TruncatedRecipe) return "the sending side could not give all of its pieces";
  if (isWrong(error)) return "what was made of its pieces is wrong";
  if (isNoSpace(error) || (error instanceof Failure && error.code === "no-space")) return "there is no room to make it";
  return error instanceof RebuildTooSlow ? "it takes too long to make it" : undefined;
}
