import type { EngineImages } from "../engine/engine-images.ts";
import type { EngineConnection, EngineInfo } from "../engine/engine.ts";
import { temporaryName, type RunId } from "../run/run-id.ts";
import { classicStore } from "./classic-store.ts";
import type { RelatedImage } from "./related-images.ts";
import type { ContainerdBlobs } from "./containerd-blobs.ts";
import { containerdStore } from "./containerd-store.ts";
import type { TargetStore } from "./store.ts";
import type { Platform } from "../image/platform.ts";

export interface OpenOptions {
  platform: Platform;
  /** The path of the image's name, which temporary names contain. */
  path: string;
  runId: RunId;
  /** Returns images that share layers with the incoming image, those with the most shared layers first. */
  relatedImages: () => Promise<readonly RelatedImage[]>;
  /** Set for a containerd store. */
  blobs: ContainerdBlobs | undefined;
}

/** Returns the image store of an engine as a target. */
export function openStore(
  engine: EngineImages & EngineConnection,
  info: EngineInfo,
  { platform, path, runId, relatedImages, blobs }: OpenOptions,
): TargetStore {
  const nameForLowest = (count: number): string => temporaryName("localhost", `${path}/lowest-${count}`, [runId]);
  if (blobs !== undefined) return containerdStore(engine, { platform, blobs, nameForLowest });
  return classicStore(engine, relatedImages, info.store === "graphdriver" ? nameForLowest : undefined);
}
