import type { Readable } from "node:stream";
import type { Digest } from "../../image/digest.ts";
import type { Descriptor } from "../../image/manifest.ts";
import type { SpooledLayer } from "../../engine-push/dry-push.ts";
import type { ByteRange } from "../../registry/embedded/pull/registry-content.ts";
import { deferred, type Deferred } from "../../streams/deferred.ts";
import { addLayerFile } from "./add-layer-file.ts";
import type { OutgoingLayers } from "../outgoing-layers.ts";

/** Adds the layers that an engine pushes to the outgoing blobs, one after the other: packing one layer keeps all cores busy. */
export class PushedLayers {
  readonly #outgoing: OutgoingLayers;
  readonly #mediaTypes: ReadonlyMap<Digest, string>;
  readonly #expected = new Map<Digest, Deferred<SpooledLayer>>();
  #added = Promise.resolve();

  /** @param mediaTypes by diff ID */
  constructor(outgoing: OutgoingLayers, mediaTypes: ReadonlyMap<Digest, string>) {
    this.#outgoing = outgoing;
    this.#mediaTypes = mediaTypes;
  }

  /** Makes a layer available before the engine pushes it. The receiver can fetch it, and waits for its bytes. */
  async expect({ diffId, mediaType, digest, size }: Descriptor & { diffId: Digest }): Promise<void> {
    if (this.#outgoing.has(diffId)) return;
    const layer = deferred<SpooledLayer>();
    layer.promise.catch(() => {}); // its readers and added() get the error
    this.#expected.set(diffId, layer);
    const open = async (range?: ByteRange): Promise<Readable> => (await layer.promise).open(range);
    await this.#outgoing.addStored(diffId, { mediaType, digest, size }, { size, open, isInFile: true });
  }

  /** Adds a layer that the engine pushes, and owns its file. */
  add(layer: SpooledLayer): void {
    const expected = this.#expected.get(layer.diffId);
    if (expected !== undefined) return expected.resolve(layer);
    const mediaType = this.#mediaTypes.get(layer.diffId) ?? "";
    this.#added = this.#added.then(async () => await addLayerFile(this.#outgoing, layer, mediaType));
    this.#added.catch(() => {}); // added() rejects with it
  }

  /** Ends the wait for expected layers that have not arrived. */
  giveUp(error: Error): void {
    for (const { reject } of this.#expected.values()) reject(error);
  }

  /** Resolves when all layers have been added. Rejects if a layer could not be added, or if an expected layer has not arrived. */
  async added(): Promise<void> {
    await this.#added;
    for (const { promise } of this.#expected.values()) await promise;
  }
}
