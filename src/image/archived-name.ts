import { InvalidReference, parseReference, type Reference } from "./reference.ts";

/** The name of an image in an archive or a layout. A layout may name an image with any text. */
export type ArchivedName =
  | { given: string; reference: Reference }
  /** Text that is not a reference. `fault` is the reason. */
  | { given: string; reference?: never; fault: string };

export function parseArchivedName(given: string): ArchivedName {
  try {
    return { given, reference: parseReference(given) };
  } catch (error) {
    if (error instanceof InvalidReference) return { given, fault: error.message };
    throw error;
  }
}
