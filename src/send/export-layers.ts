import { EngineError } from "../engine/engine-error.ts";
import { Failure } from "../output/errors.ts";
import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import type { EngineOfferOptions } from "./found-image.ts";
import { exportByPush } from "./export-by-push.ts";
import { exportFromContentStore } from "./export-from-content-store.ts";
import { exportWithSave } from "./export-with-save.ts";
import type { OutgoingBlobs } from "./outgoing-blobs.ts";
import { exportWithPartialSave } from "./export-with-partial-save.ts";

/**
 * Puts the wanted layers on the shelf, in the cheapest way that the engine knows. A containerd store's blobs are read out of its content
 * store, or, where that cannot be asked, pushed by it, or saved as what an image of our own names. A graph driver pushes few
 * layers. Of all else `docker save` is read as it streams, and what is not wanted passes.
 */
export async function exportLayers(
  registry: EmbeddedRegistry,
  outgoing: OutgoingBlobs,
  options: EngineOfferOptions,
): Promise<void> {
  const { engineInfo, stored, want, output, onProgress } = options;
  onProgress({ stage: "preparing", current: 0, layers: { done: 0, total: want.diffIds.length } });
  if (stored !== undefined && (await exportFromContentStore(outgoing, stored, options))) return;
  if (await exportByPush(registry, outgoing, options)) return;
  if (engineInfo.store === "containerd" && (await takeUnlessRefused(outgoing, options))) return;
  output.detail("reading `docker save` for the layers that are wanted");
  await exportWithSave(outgoing, options);
}

/**
 * False, too, where nothing may be loaded, as proxies and plugins in front of an engine have it: some of them close the connection
 * while the archive is still being sent. An engine that is gone will be found to be gone by whatever is asked next.
 */
async function takeUnlessRefused(outgoing: OutgoingBlobs, options: EngineOfferOptions): Promise<boolean> {
  const taken = (): number => options.want.diffIds.filter((diffId) => outgoing.has(diffId)).length;
  const before = taken();
  try {
    return await exportWithPartialSave(outgoing, options);
  } catch (error) {
    const isRefusal = error instanceof EngineError || (error instanceof Failure && error.code === "engine-unreachable");
    if (!isRefusal || taken() > before) throw error; // a layer that has broken off cannot be begun again
    return false;
  }
}
