import type { EngineContainers } from "../engine/engine-containers.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { newRunId } from "../run/run-id.ts";
import type { DeltaBaseImage } from "./delta-bases.ts";
import { findDeltaBasesInEngine } from "./delta-bases-in-engine.ts";

/** An image of an engine as a delta base. Its files are read in the same way from every kind of store. */
export type DeltaBase = Pick<DeltaBaseImage, "tars"> & AsyncDisposable;

/** Opens an image as a delta base, by its ID. The caller owns it. */
export async function openDeltaBase(
  engine: EngineImages & EngineContainers,
  id: string,
  signal: AbortSignal,
): Promise<DeltaBase> {
  const bases = await findDeltaBasesInEngine(engine, {
    newest: Promise.resolve(id),
    diffIds: [],
    relatedImages: async () => [],
    blobs: undefined,
    runId: newRunId(),
    signal,
  });
  const [image] = bases?.images ?? [];
  if (bases === undefined || image === undefined) throw new Error("no delta base was opened");
  return {
    tars: (folders) => image.tars(folders),
    [Symbol.asyncDispose]: async () => await bases[Symbol.asyncDispose](),
  };
}
