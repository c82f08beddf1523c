import type { Digest } from "../image/digest.ts";

/**
 * Finds the layer of a present image that is most similar to one of the incoming image: the same layer, whatever is below it; else, of
 * the layers that only one of the images has, the one at the same position, because a rebuild of an image replaces each changed layer
 * by one.
 *
 * @param incoming diff IDs of the incoming image, bottom first
 * @param present diff IDs of the present image, bottom first
 * @returns the layer's index in `present`; undefined when none is similar
 */
export function findBaseLayer(
  incoming: readonly Digest[],
  present: readonly Digest[],
  diffId: Digest,
): number | undefined {
  const same = present.indexOf(diffId);
  if (same !== -1) return same;
  const replaced = present.filter((one) => !incoming.includes(one));
  const position = incoming.filter((one) => !present.includes(one)).indexOf(diffId);
  const base = replaced[position];
  return base === undefined ? undefined : present.indexOf(base);
}
