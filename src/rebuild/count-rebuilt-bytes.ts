import type { Instruction } from "../delta/recipe.ts";
import type { SizeLimitShare } from "../image/layer/size-limit.ts";

/** Passes a recipe on, and counts what it makes as soon as it says so. Throws `TooLarge`. */
export async function* countRebuiltBytes(
  recipe: AsyncIterable<Instruction[]>,
  share: Pick<SizeLimitShare, "spend">,
): AsyncGenerator<Instruction[]> {
  for await (const batch of recipe) {
    share.spend(batch.reduce((sum, one) => sum + bytesOf(one), 0));
    yield batch;
  }
}

function bytesOf(instruction: Instruction): number {
  if (instruction.kind === "literal") return instruction.bytes.length;
  return instruction.kind === "piece" ? instruction.length : 0;
}
