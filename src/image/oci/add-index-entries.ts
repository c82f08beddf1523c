import type { Descriptor } from "../manifest.ts";
import { fullName, tryReference } from "../reference.ts";
import type { RawEntry } from "./index-file.ts";
import { IMAGE_NAME, REF_NAME } from "./oci-layout.ts";

/** An entry of an index, and its descriptor. The descriptor is undefined for an entry that this program does not understand. */
export interface IndexEntry {
  raw: RawEntry;
  descriptor: Descriptor | undefined;
}

/**
 * Adds entries to those of an index. The names of the added entries then lead only to these; all other names still lead to their images. An
 * image without a name is not listed twice. Entries that this program does not understand remain.
 */
export function addIndexEntries(before: readonly IndexEntry[], added: readonly Descriptor[]): IndexEntry[] {
  return [
    ...before.flatMap((entry) => withoutTakenNames(entry, added)),
    ...added.map((descriptor) => ({ raw: { ...descriptor }, descriptor })),
  ];
}

/** Returns an entry without the names that added entries take over, or no entry if no name is left. */
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
  // Another spelling of a taken name is also taken. Any other text is a separate name.
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
  const reference = ref === undefined ? undefined : tryReference(ref);
  return reference !== undefined && fullName(reference) === image;
}
