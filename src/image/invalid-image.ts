/** Thrown for an image, or a part of one, that is malformed or contradicts its metadata. The message states the reason. */
export class InvalidImage extends Error {
  override readonly name = "InvalidImage";
}

/** Resolves to the value of `reading`, or to undefined if it rejects with {@link InvalidImage}. Rejects with all other errors. */
export async function undefinedIfInvalid<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof InvalidImage) return undefined;
    throw error;
  }
}
