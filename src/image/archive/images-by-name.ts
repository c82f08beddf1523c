import type { ArchivedName } from "../archived-name.ts";
import { fullName, tryReference } from "../reference.ts";

/**
 * Returns the images with a name, by the best kind of match among all images: the verbatim name, an equal reference, the tag alone. Each
 * kind of match checks a name only once, because an archive may have hundreds of thousands of names.
 */
export function imagesByName<T extends { names: string[] }>(all: readonly T[], name: ArchivedName): T[] {
  const { given, reference } = name;
  const full = reference && fullName(reference);
  const matches: ((names: string[]) => boolean)[] = [
    (names) => names.includes(given),
    (names) => full !== undefined && names.some((name) => hasFullName(name, full)),
    // Only for an image without a full name: buildah, kaniko and skopeo annotate with a tag alone.
    (names) => names.includes(reference?.tag ?? "") && !names.some((name) => /[/:]/.test(name)),
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
