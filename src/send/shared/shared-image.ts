import { cacheFolder } from "../../files/cache-folder.ts";
import type { Digest } from "../../image/digest.ts";
import type { Packing } from "../../packing/paced-packer.ts";
import { openEmbeddedRegistry } from "../../registry/embedded/server.ts";
import { newRunId } from "../../run/run-id.ts";
import { lazySpool, type LazySpool } from "../../run/spool.ts";
import { abortable } from "../../streams/abortable.ts";
import { deferred } from "../../streams/deferred.ts";
import type { FoundImage, OfferedImage, OfferOptions } from "../found-image.ts";
import type { OutgoingLayers } from "../outgoing-layers.ts";
import { serveFromEmbeddedRegistry } from "../serve-from-embedded-registry.ts";
import { SharedPacking } from "./shared-packing.ts";
import { SpooledLayers } from "./spooled-layers.ts";

/** An image that the embedded registry serves. */
export type ServableImage = FoundImage & Required<Pick<FoundImage, "served">>;

export interface SharedImageOptions extends Pick<OfferOptions, "env" | "output" | "manifest"> {
  /** Resolves when all receivers that are about to request layers have sent their requests. */
  untilWanted: () => Promise<void>;
  /** Called with the error that ends the exports. */
  onFailure: (error: unknown) => void;
}

/** The layers that one receiver wants. */
type Wanted = Pick<OfferOptions, "want" | "packing" | "onProgress">;

/**
 * An image that is sent to several receivers. The first receiver that wants a layer begins its export. The layer is written to the spool,
 * and packed and cut there once for all receivers. Each receiver reads from the spool at its own pace, also one that arrives later.
 */
export class SharedImage implements AsyncDisposable {
  readonly #found: ServableImage;
  readonly #options: SharedImageOptions;
  readonly #spool: LazySpool;
  readonly #layers: SpooledLayers;
  readonly #packings = new Map<string, SharedPacking>();
  readonly #stop = new AbortController();
  readonly #failed = deferred<never>();
  /** The layers that any receiver wants, and the layers whose export has begun. */
  readonly #wanted = new Set<Digest>();
  readonly #begun = new Set<Digest>();
  readonly #exports: Promise<void>[] = [];
  #gathering: Promise<void> | undefined;

  constructor(found: ServableImage, options: SharedImageOptions) {
    this.#found = found;
    this.#options = options;
    this.#spool = lazySpool(options.env, newRunId());
    this.#layers = new SpooledLayers(this.#spool);
    this.#failed.promise.catch(() => {}); // the offers of layers get the error
  }

  /** Opens the folder for the files. Rejects with a `no-space` Failure. */
  async openSpool(): Promise<void> {
    await this.#spool.open();
  }

  /** Like `FoundImage.offer`, for a receiver that wants layers. */
  async offer(options: OfferOptions): Promise<OfferedImage> {
    const { broken: _, ...served } = await this.#found.served(options);
    const packing = this.#packing(options.packing);
    const exportLayers = async (outgoing: OutgoingLayers, _registry: unknown, signal: AbortSignal): Promise<void> => {
      await abortable(Promise.race([this.#failed.promise, this.#addTo(outgoing, options, packing)]), signal);
      await abortable(this.#failed.promise, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    };
    return await serveFromEmbeddedRegistry({ ...served, exportLayers, sharedDeltas: packing.deltas }, options);
  }

  async #addTo(outgoing: OutgoingLayers, { want, onProgress }: Wanted, packing: SharedPacking): Promise<void> {
    const { diffIds } = want;
    onProgress({ stage: "preparing", current: 0, layers: { done: 0, total: diffIds.length } });
    await this.#begin(diffIds);
    const add = async (diffId: Digest): Promise<void> => {
      const layer = await this.#layers.get(diffId);
      await outgoing.addStored(diffId, layer.descriptor, packing.blobOf(diffId, layer));
    };
    await Promise.all(diffIds.map(add));
    const { config, manifest } = await this.#layers.metadata();
    outgoing.finish(config, manifest);
  }

  /** Begins to export the layers that no receiver has wanted before. */
  async #begin(diffIds: readonly Digest[]): Promise<void> {
    for (const diffId of diffIds) this.#wanted.add(diffId);
    await (this.#gathering ??= this.#gather());
  }

  /** Combines the layers of receivers that request them at the same time into one export: some engines save the image for each export. */
  async #gather(): Promise<void> {
    await this.#options.untilWanted();
    this.#gathering = undefined;
    const missing = [...this.#wanted].filter((diffId) => !this.#begun.has(diffId));
    if (missing.length === 0 && this.#exports.length > 0) return;
    for (const diffId of missing) this.#begun.add(diffId);
    this.#exports.push(this.#export(missing).catch((error: unknown) => this.#fail(error)));
  }

  async #export(diffIds: readonly Digest[]): Promise<void> {
    const { env, output, manifest } = this.#options;
    const [runId, { signal }] = [newRunId(), this.#stop];
    const served = await this.#found.served({
      want: { kind: "layers", diffIds, delta: false, begun: [], codecs: [] },
      configDigest: undefined,
      packing: {},
      runIds: [runId, runId],
      manifest,
      env,
      output,
      signal,
      onProgress: () => {},
      announce: () => {},
    });
    served.broken?.addEventListener("abort", () => this.#fail(served.broken?.reason));
    const onDetail = output.detail.bind(output);
    await using registry = openEmbeddedRegistry({ runId, parent: cacheFolder(env), onDetail });
    await served.exportLayers(this.#layers, registry, signal);
    await this.#layers.copied();
    // Layers that the engine has pushed are in files of the registry.
    await abortable(new Promise(() => {}), signal);
  }

  #fail(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#failed.reject(error);
    this.#layers.fail(error);
    this.#options.onFailure(error);
  }

  #packing(packing: Packing): SharedPacking {
    const key = `${packing.codec?.name ?? "none"}-${packing.level ?? "auto"}`;
    const found =
      this.#packings.get(key) ??
      new SharedPacking({
        packing,
        spool: this.#spool,
        name: key,
        signal: this.#stop.signal,
        onFailure: (error) => this.#fail(error),
        onNoSpace: (reason) => this.#options.output.warn({ code: "no-room-for-files", reason }),
      });
    this.#packings.set(key, found);
    return found;
  }

  /** Ends the exports, and removes the files. Call it when no receiver is reading. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the image has been sent to all receivers"));
    await Promise.all(this.#exports);
    for (const packing of this.#packings.values()) await packing[Symbol.asyncDispose]();
    await this.#spool[Symbol.asyncDispose]();
  }
}
