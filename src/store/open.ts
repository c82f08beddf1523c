import type { Engine, EngineInfo } from "../engine/engine.ts";
import { temporaryName, type RunId } from "../engine/run-id.ts";
import type { Descriptor } from "../image/manifest.ts";
import { archiveStore } from "./archive-store.ts";
import { containerdStore } from "./containerd-store.ts";
import type { TargetStore } from "./store.ts";

export interface OpenOptions {
  platform: string;
  /** Path of the image's name: temporary names keep it. */
  path: string;
  run: RunId;
  /** The blobs of one of the engine's images, bottom layer first; undefined when they cannot be learnt. */
  blobsOf: (id: string) => Promise<Descriptor[] | undefined>;
  onDetail: (text: string) => void;
}

/** The engine's image store as a place to put an image into; its kind is known from what the engine says of itself. */
export function openStore(
  engine: Engine,
  info: EngineInfo,
  { platform, path, run, blobsOf, onDetail }: OpenOptions,
): TargetStore {
  const nameForLowest = (count: number): string => temporaryName("localhost", `${path}/lowest-${count}`, [run]);
  if (info.store !== "containerd")
    return archiveStore(engine, info.store === "graphdriver" ? nameForLowest : undefined);
  return containerdStore(engine, {
    platform,
    trialName: temporaryName("localhost", `${path}/trial`, [run]),
    nameForLowest,
    blobsOf,
    onDetail,
  });
}
