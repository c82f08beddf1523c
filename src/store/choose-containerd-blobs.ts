import type { EngineContent } from "../engine/engine-content.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { blobsByContentStore } from "./blobs-by-content-store.ts";
import { blobsByDryLoad, type DryLoadOptions } from "./blobs-by-dry-load.ts";
import type { ContainerdBlobs } from "./containerd-blobs.ts";
import { readManifest } from "./read-manifest.ts";

/** Returns {@link blobsByContentStore} if the engine gives access to its content store, else {@link blobsByDryLoad}. */
export async function chooseContainerdBlobs(
  engine: EngineImages & EngineContent,
  options: DryLoadOptions,
): Promise<ContainerdBlobs> {
  const content = await engine.contentStore();
  if (content !== undefined) {
    const { platform, dryLoadName } = options;
    const manifestOf = async (id: string) => await readManifest(engine, { id, platform }, dryLoadName);
    return blobsByContentStore(engine, content, { ...options, manifestOf });
  }
  options.onDetail({ code: "content-store-inaccessible" });
  return blobsByDryLoad(engine, options);
}
