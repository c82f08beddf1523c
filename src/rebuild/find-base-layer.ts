import type { Digest } from "../image/digest.ts";

/**
 * Which layer of an image that is here one of the coming image is most like: the very same one, on whatever it stands; else, of those
 * that only one of the two has, the one at the same place among them, because a rebuild has another layer for each that has changed.
 *
 * @param coming Diff IDs, bottom first.
 * @param own The same, of the image that is here.
 * @returns its place in `own`; undefined where there is none
 */
export function findBaseLayer(coming: readonly Digest[], own: readonly Digest[], diffId: Digest): number | undefined {
  const same = own.indexOf(diffId);
  if (same !== -1) return same;
  const others = own.filter((one) => !coming.includes(one));
  const location = coming.filter((one) => !own.includes(one)).indexOf(diffId);
  const like = others[location];
  return like === undefined ? undefined : own.indexOf(like);
}
