import type { Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { pushFailureText, type PushFailure } from "../output/reasons.ts";
import { deferred, type Deferred } from "../streams/deferred.ts";
import { SelectivePushHandler } from "./selective-push-handler.ts";
import { diffIdOf } from "./diff-id-of.ts";
import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { enginePush, type EnginePushOptions } from "./engine-push.ts";
import type { DryPushResult, SpooledLayer } from "./dry-push.ts";
import type { StoredBlob } from "../registry/embedded/pull/registry-content.ts";
import type { SpooledBlob } from "../registry/embedded/push/upload-spool.ts";

export interface PushSelectedOptions extends EnginePushOptions {
  /**
   * Called with each wanted layer, and owns its file from then on. A layer whose digest is known is passed on while it arrives, and
   * verified at its end. Does not wait for earlier calls.
   */
  onLayer: (layer: SpooledLayer) => void;
}

/** The outcome of a push of wanted layers. */
interface SelectedPush {
  /** The wanted digests that did not arrive. */
  missing: Set<Digest>;
  /** Why the push ended early, if the engine gave a reason. */
  reason?: PushFailure | undefined;
}

/**
 * Lets an engine push an image after a dry push of it, and receives the layers whose digests are `wanted`, in the order in which the engine
 * finishes them.
 *
 * A graph driver compresses layers again: a layer that it once pulled may arrive with **another digest**, and layers of Podman always do.
 * Their diff IDs identify them, and are verified.
 *
 * Returns the wanted digests that did not arrive, and reports the reason for --verbose. Rejects as {@link enginePush} does, and if a layer
 * that was passed on is truncated.
 */
export async function pushSelected(
  engine: EngineConnection & EngineImages,
  image: Reference,
  dryPushed: DryPushResult,
  wanted: ReadonlySet<Digest>,
  { onLayer, ...options }: PushSelectedOptions,
): Promise<SelectedPush> {
  const layers = new SelectedLayers(dryPushed, wanted, onLayer, options.signal);
  if (layers.missing.size === 0) return { missing: new Set() };
  const known = new Set([...dryPushed.skipped, dryPushed.manifest.config.digest]);
  const handler = new SelectivePushHandler({
    // Also unknown digests: a graph driver may know several digests for a layer, and requests one after the other.
    wants: (digest) => wanted.has(digest) || !known.has(digest),
    layers: new Set(layers.missing.keys()),
    onArriving: (blob) => layers.begin(blob),
    onBlob: (blob) => layers.add(blob),
  });
  let reason: PushFailure | undefined;
  try {
    reason = await enginePush(engine, image, handler, options);
  } finally {
    await layers.settle();
  }
  await layers.refuseBrokenOff(reason);
  if (layers.missing.size > 0) {
    options.onDetail?.({ code: "push-incomplete", image: image.given, reason });
  }
  return { missing: new Set(layers.missing.values()), reason };
}

/** The wanted layers of one push. */
class SelectedLayers {
  /** Digests of the layers that have neither arrived nor begun to arrive, by diff ID. */
  readonly missing: Map<Digest, Digest>;
  readonly #diffIds: ReadonlyMap<Digest, Digest>;
  readonly #onLayer: (layer: SpooledLayer) => void;
  readonly #signal: AbortSignal;
  /** Layers that were passed on while they arrived, by digest; undefined if they were truncated. */
  readonly #arriving = new Map<Digest, Deferred<SpooledBlob | undefined>>();
  readonly #added: Promise<void>[] = [];

  constructor(
    { layers }: DryPushResult,
    wanted: ReadonlySet<Digest>,
    onLayer: (layer: SpooledLayer) => void,
    signal: AbortSignal,
  ) {
    this.missing = new Map(layers.filter(({ digest }) => wanted.has(digest)).map((it) => [it.diffId, it.digest]));
    this.#diffIds = new Map(layers.map(({ digest, diffId }) => [digest, diffId]));
    this.#onLayer = onLayer;
    this.#signal = signal;
  }

  /** Passes on a layer that begins to arrive. */
  begin(blob: StoredBlob & { digest: Digest }): void {
    const { digest } = blob;
    const diffId = this.#diffIds.get(digest);
    if (diffId === undefined || !this.missing.delete(diffId)) return;
    const arriving = deferred<SpooledBlob | undefined>();
    this.#arriving.set(digest, arriving);
    this.#onLayer({ ...blob, diffId, remove: async () => await (await arriving.promise)?.remove() });
  }

  /** Adds a blob that has arrived. */
  add(blob: SpooledBlob): void {
    this.#added.push(this.#identify(blob));
  }

  async #identify(blob: SpooledBlob): Promise<void> {
    const arriving = this.#arriving.get(blob.digest);
    if (arriving !== undefined) return arriving.resolve(blob);
    const diffId = this.#diffIds.get(blob.digest) ?? (await diffIdOf(blob, this.#signal));
    if (diffId !== undefined && this.missing.delete(diffId)) this.#onLayer({ ...blob, diffId });
    else await blob.remove();
  }

  /** Waits for blobs that are being identified. Call it after the push. */
  async settle(): Promise<void> {
    for (const { resolve } of this.#arriving.values()) resolve(undefined);
    await Promise.allSettled(this.#added);
  }

  /** Rejects if a layer that was passed on was truncated, or could not be identified. */
  async refuseBrokenOff(reason: PushFailure | undefined): Promise<void> {
    await Promise.all(this.#added);
    for (const [digest, { promise }] of this.#arriving) {
      if ((await promise) !== undefined) continue;
      throw new Failure(
        "transfer-failed",
        `the engine stopped in the middle of pushing ${digest}: ${pushFailureText(reason)}`,
        {
          expected: "the rest of a layer that it had begun to push",
          hint: "Run the same command again.",
        },
      );
    }
  }
}
