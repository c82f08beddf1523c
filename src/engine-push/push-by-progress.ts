import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages, EngineProgress } from "../engine/engine-images.ts";
import { shortOf, type Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import type { PushFailure } from "../output/reasons.ts";
import { deferred, type Deferred } from "../streams/deferred.ts";
import { diffIdOf } from "./diff-id-of.ts";
import { DistributionError } from "../registry/embedded/http/distribution-error.ts";
import { enginePush, type EnginePushOptions, type PushHandler } from "./engine-push.ts";
import type { SpooledLayer } from "./dry-push.ts";
import type { PushPolicy, BeforeChunk } from "../registry/embedded/push/push-policy.ts";
import type { SpooledBlob } from "../registry/embedded/push/upload-spool.ts";

/** ms. Uploads that are held back are silent; any other upload has many lines of progress a second. */
const IDLE_TIMEOUT = 10_000;

export interface PushByProgressOptions extends EnginePushOptions {
  /** Called with each wanted layer after verification. It owns the file of the layer. */
  onLayer: (layer: SpooledLayer) => void;
}

/**
 * Receives the wanted layers, which are the topmost, from a graph driver that knows no digests, for example of an image that was built and
 * never pushed. The engine would compress and upload all layers. Of an unwanted layer, it uploads only the bytes that identify it. An
 * engine runs five uploads at a time for all its pushes, and the uploads that are held back count until this settles.
 *
 * Returns the diff IDs of wanted layers that did not arrive, and reports the reason for --verbose. Rejects as {@link enginePush} does.
 */
export async function pushByProgress(
  engine: EngineConnection & EngineImages,
  image: Reference,
  wanted: ReadonlySet<Digest>,
  { onLayer, ...options }: PushByProgressOptions,
): Promise<ReadonlySet<Digest>> {
  const handler = new ProgressPushHandler(wanted, onLayer, options.signal);
  let reason: PushFailure | undefined;
  try {
    reason = await enginePush(engine, image, handler, { ...options, idleTimeout: IDLE_TIMEOUT });
  } finally {
    await handler.settle();
  }
  if (handler.missing.size > 0) {
    options.onDetail?.({ code: "push-incomplete", image: image.given, reason });
  }
  return handler.missing;
}

/** An upload whose layer is not yet identified. */
interface Upload {
  isWanted: boolean;
  identified: Deferred<void>;
}

/**
 * Reports all layers as missing, except those already received, which the engine requests after their upload. The engine does not name the
 * layer of an upload, but its progress names layers by the first 12 digits of their diff ID, for the first time within 512 kB. Therefore an
 * upload starts only when the previous one has been identified. An unwanted upload is then held back, which also stops the engine by
 * back-pressure.
 *
 * This delays no wanted layer for ever: the engine starts with the topmost layers (moby, `distribution/push_v2.go`), five at a time, and a
 * receiver on a graph driver lacks the topmost. If the order is different, the push becomes silent and is given up.
 */
class ProgressPushHandler implements PushHandler {
  readonly policy: PushPolicy;
  readonly giveUp: AbortSignal;
  readonly missing: Set<Digest>;
  /** The wanted layers, by the names that the progress uses. */
  readonly #wanted: ReadonlySet<string>;
  readonly #onLayer: (layer: SpooledLayer) => void;
  readonly #signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #received = new Map<Digest, number>();
  /** The layers that the progress has named. */
  readonly #named = new Set<string>();
  #current: Upload | undefined;
  #lastIdentified: Promise<void> = Promise.resolve();
  /** Rejects when the push is over. */
  readonly #over = deferred<never>();
  readonly #added: Promise<void>[] = [];

  constructor(wanted: ReadonlySet<Digest>, onLayer: (layer: SpooledLayer) => void, signal: AbortSignal) {
    this.missing = new Set(wanted);
    this.#wanted = new Set([...wanted].map(shortOf));
    this.#onLayer = onLayer;
    this.#signal = signal;
    this.giveUp = this.#controller.signal;
    this.#over.promise.catch(() => {});
    this.policy = {
      presentSize: (digest) => this.#received.get(digest),
      beforeUpload: async () => await this.#beforeUpload(),
      blobReceived: (blob) => {
        this.#received.set(blob.digest, blob.size);
        const added = this.#add(blob);
        added.catch(() => this.#giveUp()); // settle() rejects with the error
        this.#added.push(added);
      },
      manifestReceived: () => {
        throw notWanted();
      },
    };
  }

  onProgress({ id, status }: EngineProgress): void {
    if (id === undefined || !status.startsWith("Push") || this.#named.has(id)) return;
    this.#named.add(id);
    if (this.#current === undefined) return;
    this.#current.isWanted = this.#wanted.has(id);
    this.#current.identified.resolve();
    this.#current = undefined;
  }

  #giveUp(): void {
    this.#controller.abort({ code: "not-needed" } satisfies PushFailure);
  }

  /** Ends the uploads that are held back, and waits for layers that are being identified. Rejects if a layer could not be received. */
  async settle(): Promise<void> {
    this.#over.reject(notWanted());
    await Promise.all(this.#added);
  }

  async #beforeUpload(): Promise<BeforeChunk> {
    const upload: Upload = { isWanted: true, identified: deferred<void>() };
    const before = this.#lastIdentified;
    this.#lastIdentified = upload.identified.promise;
    await Promise.race([before, this.#over.promise]);
    this.#current = upload;
    return () => (upload.isWanted ? undefined : this.#over.promise);
  }

  async #add(blob: SpooledBlob): Promise<void> {
    const diffId = await diffIdOf(blob, this.#signal);
    if (diffId === undefined || !this.missing.delete(diffId)) return await blob.remove();
    this.#onLayer({ ...blob, diffId });
    if (this.missing.size === 0) this.#giveUp();
  }
}

function notWanted(): DistributionError {
  return new DistributionError(403, "DENIED", "this registry accepts only the wanted layers");
}
