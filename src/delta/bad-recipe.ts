/** What the other end sent as a recipe, as a list of missing pieces, or as the pieces is none. */
export class BadRecipe extends Error {
  override readonly name = "BadRecipe";
}
