import { InvalidImage } from "./manifest.ts";

/** What is read of an image; undefined when that is not what it should be. Rejects with every other error. */
export async function undefinedIfInvalid<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof InvalidImage) return undefined;
    throw error;
  }
}
