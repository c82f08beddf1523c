/** Thrown when the peer sends an invalid recipe, list of missing pieces, or run of pieces. */
export class InvalidRecipe extends Error {
  override readonly name: string = "InvalidRecipe";
}

/** Thrown when a recipe ends early, for example because the sender's disk is full (rebuild/layer-cutter.ts). */
export class TruncatedRecipe extends InvalidRecipe {
  override readonly name = "TruncatedRecipe";
}
