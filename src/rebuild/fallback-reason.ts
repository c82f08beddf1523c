import { InvalidRecipe, TruncatedRecipe } from "../delta/recipe-errors.ts";
import { isNoSpace } from "../files/no-space.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { Failure } from "../output/errors.ts";
import { NoRecipe } from "../registry/registry-client-errors.ts";
import { RebuildTooSlow } from "./delta-choice.ts";

/** Whether a rebuild failed because the sender's recipe or pieces are invalid or incomplete. */
export function isSenderFault(error: unknown): boolean {
  return error instanceof InvalidRecipe || error instanceof InvalidImage;
}

/** Returns why a layer is sent whole after its rebuild failed; undefined for an error that fails the transfer. */
export function fallbackReason(error: unknown): string | undefined {
  if (error instanceof NoRecipe) return "the sending side cannot cut it";
  if (error instanceof TruncatedRecipe) return "the sending side could not cut all of it";
  if (isSenderFault(error)) return "the sending side's recipe or pieces are invalid";
  if (isNoSpace(error) || (error instanceof Failure && error.code === "no-space"))
    return "no space is left to rebuild it";
  return error instanceof RebuildTooSlow ? "rebuilding it takes too long" : undefined;
}
