import type { ArchivedName } from "../archived-name.ts";
import { fullName, tryReference } from "../reference.ts";

/**
 * Returns the images with a name, by the closest kind of match that any image has: the very name, an equal reference, the tag alone.
 * Each kind of match looks at a name once: an archive may have hundreds of thousands.
 */
export function imagesByName<T extends { names: string[] }>(all: readonly T[], name: ArchivedName): T[] {
  const { given, reference } = name;
  const full = reference && fullName(reference);
  const matches: ((names: string[]) => boolean)[] = [
    (names) => names.includes(given),
    (names) => full !== undefined && names.some((one) => hasFullName(one, full)),
    // Only for an image without a full name: buildah, kaniko and skopeo annotate with a tag alone.
    (names) => names.includes(reference?.tag ?? "") && !names.some((one) => /[/:]/.test(one)),
  ];
  for (const isMatch of matches) {
    const found = all.filter(({ names }) => isMatch(names));
    if (found.length > 0) return found;
  }
  return [];
}

function hasFullName(name: string, full: string): boolean {
  const reference = tryReference(name);
  return reference !== undefined && fullName(reference) === full;
}
