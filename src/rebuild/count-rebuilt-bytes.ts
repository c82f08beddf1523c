import type { Instruction } from "../delta/recipe.ts";
import type { SizeLimitShare } from "../image/layer/size-limit.ts";

/**
 * Passes a recipe through, and counts the bytes that it describes against the size limit before they are written. Throws
 * `SizeLimitExceeded`.
 */
export async function* countRebuiltBytes(
  recipe: AsyncIterable<Instruction[]>,
  share: Pick<SizeLimitShare, "spend">,
): AsyncGenerator<Instruction[]> {
  for await (const batch of recipe) {
    share.spend(batch.reduce((sum, instruction) => sum + bytesOf(instruction), 0));
    yield batch;
  }
}

function bytesOf(instruction: Instruction): number {
  if (instruction.kind === "literal") return instruction.bytes.length;
  return instruction.kind === "piece" ? instruction.length : 0;
}
