import type { EngineInfo } from "../engine/engine.ts";
import { Failure } from "../output/errors.ts";

/**
 * Layers that a classic store accepts at most, whatever its graph driver: moby's layer store counts them (`layer_store.go`, maxLayerDepth),
 * and 26.1 refused the 126th after all had been sent. Containerd and Podman stores accept more: 510 were tested.
 */
const MAX_CLASSIC_STORE_LAYERS = 125;

/**
 * Throws a `refused` Failure for an image with more layers than the store accepts, present layers included. The engine would refuse it only
 * after its last layer.
 */
export function refuseTooManyLayers(layers: number, { store }: Pick<EngineInfo, "store">, address: string): void {
  if (store !== "graphdriver" || layers <= MAX_CLASSIC_STORE_LAYERS) return;
  throw new Failure(
    "refused",
    `the image has ${layers} layers, and the classic store of ${address} takes at most ${MAX_CLASSIC_STORE_LAYERS}`,
    {
      expected: `an image of at most ${MAX_CLASSIC_STORE_LAYERS} layers, or an engine with a containerd store, or Podman`,
      hint: "Build it with fewer steps, or copy its files into one layer: FROM scratch, then COPY --from=IMAGE / /.",
    },
  );
}
