import type { EngineBuilder } from "../engine/engine-builder.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { blobsByContentStore } from "./blobs-by-content-store.ts";
import { blobsByTrial, type TrialOptions } from "./blobs-by-trial.ts";
import type { ContainerdBlobs } from "./containerd-blobs.ts";
import { readManifest } from "./read-manifest.ts";

/** Returns {@link blobsByContentStore} where the engine gives access to its content store, else {@link blobsByTrial}. */
export async function chooseContainerdBlobs(
  engine: EngineImages & EngineBuilder,
  options: TrialOptions,
): Promise<ContainerdBlobs> {
  const content = await engine.contentStore();
  if (content !== undefined) {
    const { platform, trialName } = options;
    const manifestOf = async (id: string) => await readManifest(engine, { id, platform }, trialName);
    return blobsByContentStore(engine, content, { ...options, manifestOf });
  }
  options.onDetail("the engine's content store is not accessible: trial images show which blobs it has");
  return blobsByTrial(engine, options);
}
