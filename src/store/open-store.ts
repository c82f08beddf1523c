import type { EngineImages } from "../engine/engine-images.ts";
import type { EngineConnection, EngineInfo } from "../engine/engine.ts";
import { temporaryName, type RunId } from "../run/run-id.ts";
import { classicStore } from "./classic-store.ts";
import type { RelatedImage } from "./related-images.ts";
import type { ContainerdBlobs } from "./containerd-blobs.ts";
import { containerdStore } from "./containerd-store.ts";
import type { TargetStore } from "./store.ts";

export interface OpenOptions {
  platform: string;
  /** Path of the image's name: temporary names keep it. */
  path: string;
  run: RunId;
  /** The images that share layers with the one that comes, those that share most first. */
  relatedImages: () => Promise<readonly RelatedImage[]>;
  /** Of a containerd store. */
  blobs: ContainerdBlobs | undefined;
}

/** The engine's image store as a place to put an image into; its kind is known from what the engine says of itself. */
export function openStore(
  engine: EngineImages & EngineConnection,
  info: EngineInfo,
  { platform, path, run, relatedImages, blobs }: OpenOptions,
): TargetStore {
  const nameForLowest = (count: number): string => temporaryName("localhost", `${path}/lowest-${count}`, [run]);
  if (blobs !== undefined) return containerdStore(engine, { platform, blobs, nameForLowest });
  return classicStore(engine, relatedImages, info.store === "graphdriver" ? nameForLowest : undefined);
}
