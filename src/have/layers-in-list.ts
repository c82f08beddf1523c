import type { Digest } from "../image/digest.ts";
import { familiarName, tryReference, type Reference } from "../image/reference.ts";
import { layerKey } from "./make-have-list.ts";
import type { HaveList } from "./have-list.ts";

/**
 * Returns the layers of an image that the listed engine lacks, bottom first, each once. A containerd store has a layer if it has the
 * layer's blob, whatever is below it. Other stores have a layer if they have it on top of the same layers
 * (docs/decisions/missing-layers-by-chain-id.md).
 */
export function layersMissingInList({ engine, layers }: HaveList, diffIds: readonly Digest[]): Digest[] {
  const distinct = [...new Set(diffIds)];
  if (engine.store === "containerd") {
    const present = new Set(layers.flatMap(({ diffId, absent }) => (absent === true ? [] : [diffId])));
    return distinct.filter((diffId) => !present.has(diffId));
  }
  const indexes = new Map(layers.map(({ diffId, on, absent }, index) => [layerKey(diffId, on), absent ? -1 : index]));
  let on: number | undefined;
  let count = 0;
  for (const diffId of diffIds) {
    on = indexes.get(layerKey(diffId, on));
    if (on === undefined || on === -1) break;
    count += 1;
  }
  return [...new Set(diffIds.slice(count))];
}

/** An image of the listed engine that may be similar to a new version of an image. */
export interface SimilarImage {
  /** For messages. */
  name: string;
  /** Bottom first. */
  diffIds: Digest[];
}

/** The maximum number of listed images that are compared with those of this side, the most similar first. */
const MAX_SIMILAR = 8;

/**
 * Returns the images of the listed engine that are most similar to an image with this name and these layers: first the images of its
 * repository, then those that share the most layers, in the order of the list.
 */
export function similarImagesInList(list: HaveList, image: Reference, diffIds: readonly Digest[]): SimilarImage[] {
  const own = new Set(diffIds);
  const repository = familiarName(image);
  return list.images
    .map(({ names, top }) => {
      const layers = layersBelow(list, top);
      return {
        similar: { name: names[0] ?? "", diffIds: layers },
        isNamesake: names.some((name) => isIn(repository, name)),
        shared: layers.filter((diffId) => own.has(diffId)).length,
      };
    })
    .filter(({ isNamesake, shared, similar }) => (isNamesake || shared > 0) && similar.diffIds.length > 0)
    .toSorted((a, b) => Number(b.isNamesake) - Number(a.isNamesake) || b.shared - a.shared)
    .slice(0, MAX_SIMILAR)
    .map(({ similar }) => similar);
}

function layersBelow({ layers }: HaveList, top: number | undefined): Digest[] {
  const found: Digest[] = [];
  for (let at = top; at !== undefined; at = layers[at]?.on) found.unshift(layers[at]?.diffId ?? "");
  return found;
}

function isIn(repository: string, name: string): boolean {
  const reference = tryReference(name);
  return reference !== undefined && familiarName(reference) === repository;
}
