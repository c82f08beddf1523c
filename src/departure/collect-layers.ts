import { EngineError } from "../engine/engine.ts";
import { Failure } from "../output/errors.ts";
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
  if (engineInfo.store === "containerd" && (await takeUnlessRefused(shelf, options))) return;
  output.detail("reading `docker save` for the layers that are wanted");
  await saveLayers(shelf, options);
}

/**
 * False, too, where nothing may be loaded, as proxies and plugins in front of an engine have it: some of them close the connection
 * while the archive is still being sent. An engine that is gone will be found to be gone by whatever is asked next.
 */
async function takeUnlessRefused(shelf: Shelf, options: EngineDepartureOptions): Promise<boolean> {
  const taken = (): number => options.want.diffIds.filter((diffId) => shelf.has(diffId)).length;
  const before = taken();
  try {
    return await takeStored(shelf, options);
  } catch (error) {
    const isRefusal = error instanceof EngineError || (error instanceof Failure && error.code === "engine-unreachable");
    if (!isRefusal || taken() > before) throw error; // a layer that has broken off cannot be begun again
    return false;
  }
}
