import { findPresentLayers } from "./find-present-layers.ts";
import { rebuildSpeed } from "./load-layers.ts";
import { missingLayers } from "./load-into-engine.ts";
import type { PlannedImages } from "../planned-images.ts";
import { estimatedLayers, planLayers } from "../plan-layers.ts";
import { spaceInEngine, spaceInCache, refuseWithoutSpace } from "../free-space.ts";
import type { EngineReceiveOptions } from "../receive-options.ts";
import type { TargetPlan } from "../target.ts";

/** Returns the maximum that an engine would pull by itself. It skips layers that it has pulled before as the same blobs. */
export async function planEnginePull(options: EngineReceiveOptions): Promise<TargetPlan> {
  const { diffIds } = options.about;
  await options.decline();
  const space = [await spaceInEngine(options, diffIds)];
  return { layers: estimatedLayers(options, diffIds), store: options.info.store, room: space };
}

/** Determines the layers that would be loaded into an engine. `planned`: the images that would already be present. */
export async function planLoad(options: EngineReceiveOptions, planned: PlannedImages): Promise<TargetPlan> {
  const { about, info } = options;
  const { store } = info;
  const contents = await findPresentLayers(options);
  const { id } = contents.known;
  if (id !== undefined) {
    await options.decline();
    return { layers: [], store, room: [], id };
  }
  const present = await contents.present();
  const isMissing = missingLayers(about.diffIds, present);
  const missing = about.diffIds.filter((_, index) => isMissing[index]);
  const wanted = planned.without(about.diffIds, missing);
  const space = [await spaceInEngine(options, wanted)];
  if (contents.store.takes === "files") space.push(await spaceInCache(options, wanted));
  refuseWithoutSpace(space);
  await using deltaBases = wanted.length > 0 ? await contents.deltaBases() : undefined;
  const { takesIn } = rebuildSpeed(contents.store, deltaBases);
  const layers = await planLayers({ ...options, noDeltaReason: contents.noDeltaReason }, wanted, deltaBases, takesIn);
  return { ...layers, store, room: space };
}
