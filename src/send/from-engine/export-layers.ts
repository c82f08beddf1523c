import { EngineError } from "../../engine/engine-error.ts";
import { Failure } from "../../output/errors.ts";
import type { EmbeddedRegistry } from "../../registry/embedded/server.ts";
import type { EngineOfferOptions } from "./engine-offer-options.ts";
import { exportByPush } from "./export-by-push.ts";
import { exportFromContentStore } from "./export-from-content-store.ts";
import { exportWithPartialSave } from "./export-with-partial-save.ts";
import { exportWithSave } from "./export-with-save.ts";
import type { OutgoingLayers } from "../outgoing-layers.ts";

/**
 * Exports the wanted layers from an engine to the outgoing blobs, by the cheapest method that the engine supports:
 * 1. the content store of a containerd store is read blob by blob;
 * 2. the engine pushes the layers to the embedded registry: a containerd store all of them, a graph driver a few;
 * 3. a containerd store saves an image that this program has created, which names only the wanted blobs;
 * 4. `docker save` of the whole image is read, and unwanted layers are skipped.
 */
export async function exportLayers(
  registry: EmbeddedRegistry,
  outgoing: OutgoingLayers,
  options: EngineOfferOptions,
): Promise<void> {
  const { engineInfo, stored, want, output, onProgress } = options;
  onProgress({ stage: "preparing", current: 0, layers: { done: 0, total: want.diffIds.length } });
  if (stored !== undefined && (await exportFromContentStore(outgoing, stored, options))) return;
  if (await exportByPush(registry, outgoing, options)) return;
  if (engineInfo.store === "containerd" && (await tryPartialSave(outgoing, options))) return;
  output.detail({ code: "export-by-save" });
  await exportWithSave(outgoing, options);
}

/**
 * Also returns false if the engine refuses to load an image, as some proxies and plugins do. Some of them close the connection during the
 * upload, so only the next request shows whether the engine is still reachable.
 */
async function tryPartialSave(outgoing: OutgoingLayers, options: EngineOfferOptions): Promise<boolean> {
  const countExported = (): number => options.want.diffIds.filter((diffId) => outgoing.has(diffId)).length;
  const before = countExported();
  try {
    return await exportWithPartialSave(outgoing, options);
  } catch (error) {
    const isRefusal = error instanceof EngineError || (error instanceof Failure && error.code === "engine-unreachable");
    if (!isRefusal || countExported() > before) throw error; // a truncated layer cannot be exported again
    return false;
  }
}
