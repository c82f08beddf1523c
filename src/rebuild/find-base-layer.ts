import type { Digest } from "../image/digest.ts";

/**
 * Finds the layer of a present image that is most similar to a layer of the incoming image. This is the same layer, whatever is below it.
 * Otherwise it is the layer at the same position among the layers that only one of the images has, because a new build of an image replaces
 * each changed layer with one layer.
 *
 * @param incoming diff IDs of the incoming image, bottom first
 * @param present diff IDs of the present image, bottom first
 * @returns the layer's index in `present`; undefined if none is similar
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
