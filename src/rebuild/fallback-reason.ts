import { InvalidRecipe, TruncatedRecipe } from "../delta/recipe-errors.ts";
import { isNoSpace } from "../files/no-space.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import type { RebuildFailure } from "../output/details.ts";
import { Failure } from "../output/errors.ts";
import { NoRecipe } from "../registry/registry-client-errors.ts";
import { RebuildTooSlow } from "./delta-choice.ts";

/** Returns whether a rebuild failed because the sender's recipe or pieces are invalid or incomplete. */
export function isSenderFault(error: unknown): boolean {
  return error instanceof InvalidRecipe || error instanceof InvalidImage;
}

/** Returns the reason why a layer is sent whole after its rebuild failed; undefined for an error that makes the transfer fail. */
export function fallbackReason(error: unknown): RebuildFailure | undefined {
  if (error instanceof NoRecipe) return "no-recipe";
  if (error instanceof TruncatedRecipe) return "recipe-truncated";
  if (isSenderFault(error)) return "recipe-invalid";
  if (isNoSpace(error) || (error instanceof Failure && error.code === "no-space")) return "no-space";
  return error instanceof RebuildTooSlow ? "too-slow" : undefined;
}
