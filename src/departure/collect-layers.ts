import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import type { EngineDepartureOptions } from "./departure.ts";
import { pushFew } from "./push-few.ts";
import { saveLayers } from "./save-layers.ts";
import type { Shelf } from "./shelf.ts";
import { takeStored } from "./take-stored.ts";

/**
 * Puts the wanted layers on the shelf, in the cheaper of two ways: the engine pushes just them (a moment, for few bytes, and for
 * any number on a containerd store, which has them as blobs), or `docker save` is read as it streams, and the others pass.
 * A containerd store that cannot push to us gives just them, too.
 */
export async function collectLayers(
  registry: EmbeddedRegistry,
  shelf: Shelf,
  options: EngineDepartureOptions,
): Promise<void> {
  const { engineInfo, want, output, onProgress } = options;
  onProgress({ stage: "preparing", current: 0, layers: { done: 0, total: want.diffIds.length } });
  if (await pushFew(registry, shelf, options)) return;
  if (engineInfo.store === "containerd" && (await takeStored(shelf, options))) return;
  output.detail("reading `docker save` for the layers that are wanted");
  await saveLayers(shelf, options);
}
