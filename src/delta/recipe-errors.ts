/** What the other end sent as a recipe, as a list of missing pieces, or as the pieces is none. */
export class InvalidRecipe extends Error {
  override readonly name: string = "BadRecipe";
}

/** A recipe ends in the middle, as that of a sender does whose disk is full (departure/layer-cutter.ts). */
export class TruncatedRecipe extends InvalidRecipe {
  override readonly name = "CutOffRecipe";
}
