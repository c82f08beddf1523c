import type { EngineImages } from "../engine/engine-images.ts";
import { EngineError } from "../engine/engine-error.ts";
import type { AvailableLayer } from "./store.ts";

/** An image whose manifest names, for each layer, the blob that the store has. */
export interface ComposedImage {
  /** Byte for byte. */
  config: Buffer;
  /** Bottom first: one for each diff ID of the config. */
  layers: readonly AvailableLayer[];
  name: string;
}

/**
 * Of an image that names a blob which is not there, an engine that does not say so itself lists what it has: its size shows that.
 * Throws `EngineError`.
 */
export async function refuseIncomplete(engine: EngineImages, { layers, name }: ComposedImage): Promise<void> {
  if (engine.checksLoads) return;
  const size = (await engine.listedSize(name)) ?? 0;
  const needed = layers.reduce((all, { blob }) => all + (blob?.size ?? 0), 0);
  if (size < needed) throw new EngineError(`the engine has ${size} bytes of the image, of ${needed}`);
}
