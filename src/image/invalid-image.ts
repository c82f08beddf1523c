/** Thrown when an image, or a part of one, is malformed or not what it claims to be. The message says what is wrong. */
export class InvalidImage extends Error {
  override readonly name = "InvalidImage";
}

/** Resolves to the value of `reading`, or to undefined when that rejects with {@link InvalidImage}. Rejects with every other error. */
export async function undefinedIfInvalid<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof InvalidImage) return undefined;
    throw error;
  }
}
