import type { Digest } from "../image/digest.ts";
import { HAVE_FORMAT, HAVE_VERSION, type HaveList, type ListedLayer } from "./have-list.ts";

/** An image of an engine, for a list. */
export interface ImageToList {
  /** Empty for an image without a name, whose layers are also listed. */
  names: readonly string[];
  /** `os/arch[/variant]` */
  platform: string;
  /** Bottom first. */
  diffIds: readonly Digest[];
}

/**
 * Creates the have list of an engine.
 *
 * @param isPresent returns whether the blob of a layer exists, if the store needs it
 */
export function makeHaveList(
  engine: HaveList["engine"],
  images: readonly ImageToList[],
  { isPresent = () => true, now = new Date() }: { isPresent?: (diffId: Digest) => boolean; now?: Date } = {},
): HaveList {
  const layers: ListedLayer[] = [];
  const indexes = new Map<string, number>();
  const add = (diffId: Digest, on: number | undefined): number => {
    const key = layerKey(diffId, on);
    const found = indexes.get(key);
    if (found !== undefined) return found;
    layers.push({ diffId, ...(on !== undefined && { on }), ...(!isPresent(diffId) && { absent: true as const }) });
    indexes.set(key, layers.length - 1);
    return layers.length - 1;
  };
  const listed = images.map(({ names, platform, diffIds }) => {
    let top: number | undefined;
    for (const diffId of diffIds) top = add(diffId, top);
    return { names, platform, ...(top !== undefined && { top }) };
  });
  return {
    format: HAVE_FORMAT,
    version: HAVE_VERSION,
    listed: now.toISOString(),
    engine,
    layers,
    images: listed.filter(({ names }) => names.length > 0),
  };
}

/** Returns a key for a layer with all layers below it. `on`: the index of the layer below. */
export function layerKey(diffId: Digest, on: number | undefined): string {
  return `${on ?? ""} ${diffId}`;
}
