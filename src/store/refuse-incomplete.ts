import type { EngineImages } from "../engine/engine-images.ts";
import { EngineError } from "../engine/engine-error.ts";
import type { AvailableLayer } from "./store.ts";

/** An image whose manifest was composed from blobs in the store. */
export interface ComposedImage {
  /** Raw. */
  config: Buffer;
  /** Bottom first, one for each diff ID of the config. */
  layers: readonly AvailableLayer[];
  name: string;
}

/**
 * Throws an `EngineError` if the store lacks a blob of a loaded image. Engines before API 1.48 do not report that, but the size that they
 * list shows it.
 */
export async function refuseIncomplete(engine: EngineImages, { layers, name }: ComposedImage): Promise<void> {
  if (engine.checksLoads) return;
  const size = (await engine.listedSize(name)) ?? 0;
  const needed = layers.reduce((all, { blob }) => all + (blob?.size ?? 0), 0);
  if (size < needed) throw new EngineError(`the engine has ${size} of ${needed} bytes of the image`);
}
