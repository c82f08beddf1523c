import type { Descriptor } from "../manifest.ts";
import { fullName, tryReference } from "../reference.ts";
import type { RawEntry } from "./index-file.ts";
import { IMAGE_NAME, REF_NAME } from "./oci-layout.ts";

/** An entry of an index, and its descriptor; undefined for an entry that this program does not understand. */
export interface IndexEntry {
  raw: RawEntry;
  descriptor: Descriptor | undefined;
}

/**
 * Returns the entries of an index with others added. Each name of an added entry leads to that entry alone from then on; all other names keep
 * their images. An image without a name is not listed twice. Entries that this program does not understand stay.
 */
export function addIndexEntries(before: readonly IndexEntry[], added: readonly Descriptor[]): IndexEntry[] {
  return [
    ...before.flatMap((entry) => withoutTakenNames(entry, added)),
    ...added.map((descriptor) => ({ raw: { ...descriptor }, descriptor })),
  ];
}

/** Returns an entry without the names that added entries take over; nothing when no name is left. */
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
  // Another spelling of a taken name is taken as well; any other text is a name of its own.
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
