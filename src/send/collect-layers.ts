import { EngineError } from "../engine/engine.ts";
import { Failure } from "../output/errors.ts";
import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import type { EngineDepartureOptions } from "./found-image.ts";
import { pushFew } from "./choose-export.ts";
import { takeFromContentStore } from "./export-from-content-store.ts";
import { saveLayers } from "./export-with-save.ts";
import type { Shelf } from "./outgoing-blobs.ts";
import { takeStored } from "./export-blobs.ts";

/**
 * Puts the wanted layers on the shelf, in the cheapest way that the engine knows. A containerd store's blobs are read out of its content
 * store, or, where that cannot be asked, pushed by it, or saved as what an image of our own names. A graph driver pushes few
 * layers. Of all else `docker save` is read as it streams, and what is not wanted passes.
 */
export async function collectLayers(
  registry: EmbeddedRegistry,
  shelf: Shelf,
  options: EngineDepartureOptions,
): Promise<void> {
  const { engineInfo, stored, want, output, onProgress } = options;
  onProgress({ stage: "preparing", current: 0, layers: { done: 0, total: want.diffIds.length } });
  if (stored !== undefined && (await takeFromContentStore(shelf, stored, options))) return;
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
