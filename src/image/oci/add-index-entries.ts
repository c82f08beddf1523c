import type { Descriptor } from "../manifest.ts";
import { fullName, InvalidReference, parseReference } from "../reference.ts";
import type { RawEntry } from "./index-file.ts";
import { IMAGE_NAME, REF_NAME } from "./oci-layout.ts";

/** An entry of an index, and what it says; undefined where this program cannot read it. */
export interface IndexEntry {
  raw: RawEntry;
  descriptor: Descriptor | undefined;
}

/**
 * The entries of an index when others are added: each name of theirs leads to one image from then on, and every other name to what it led to.
 * The same image without a name is not listed twice. What cannot be read stays as it is.
 */
export function addIndexEntries(before: readonly IndexEntry[], added: readonly Descriptor[]): IndexEntry[] {
  return [
    ...before.flatMap((entry) => withoutTakenNames(entry, added)),
    ...added.map((descriptor) => ({ raw: { ...descriptor }, descriptor })),
  ];
}

/** What is left of an entry when others take its names over. */
function withoutTakenNames(entry: IndexEntry, added: readonly Descriptor[]): IndexEntry[] {
  const { raw, descriptor } = entry;
  if (descriptor === undefined) return [entry];
  const { [REF_NAME]: ref, [IMAGE_NAME]: image, ...others } = descriptor.annotations ?? {};
  if (ref === undefined && image === undefined) {
    return added.some(({ digest }) => digest === descriptor.digest) ? [] : [entry];
  }
  const isTaken = (key: string, name: string | undefined): boolean =>
    name !== undefined && added.some(({ annotations }) => annotations?.[key] === name);
  const imageIsTaken = isTaken(IMAGE_NAME, image);
  // The same name in another spelling goes with it; any other text is a name of its own.
  const refIsTaken = isTaken(REF_NAME, ref) || (imageIsTaken && isSpellingOf(ref, image));
  if (!imageIsTaken && !refIsTaken) return [entry];
  const left = {
    ...(ref !== undefined && !refIsTaken && { [REF_NAME]: ref }),
    ...(image !== undefined && !imageIsTaken && { [IMAGE_NAME]: image }),
  };
  if (Object.keys(left).length === 0) return [];
  const annotations = { ...others, ...left };
  return [{ raw: { ...raw, annotations }, descriptor: { ...descriptor, annotations } }];
}

function isSpellingOf(ref: string | undefined, image: string | undefined): boolean {
  try {
    return ref !== undefined && fullName(parseReference(ref)) === image;
  } catch (error) {
    if (error instanceof InvalidReference) return false;
    throw error;
  }
}
