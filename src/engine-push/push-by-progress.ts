import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages, EngineProgress } from "../engine/engine-images.ts";
import { shortOf, type Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import { deferred, type Deferred } from "../streams/deferred.ts";
import { diffIdOf } from "./diff-id-of.ts";
import { DistributionError } from "../registry/embedded/distribution-error.ts";
import { enginePush, type EnginePushOptions, type PushHandler } from "./engine-push.ts";
import type { SpooledLayer } from "./probe-image.ts";
import type { PushPolicy, BeforeChunk } from "../registry/embedded/push-policy.ts";
import type { SpooledBlob } from "../registry/embedded/upload-spool.ts";

export interface PushByProgressOptions extends EnginePushOptions {
  /** Takes a layer over, which has been proven. Its file is the receiver's to remove. */
  onLayer: (layer: SpooledLayer) => void;
}

/**
 * Takes the topmost layers, which are wanted, from a graph driver that knows no digests, neither for them nor for those below, as of
 * an image that was built and never pushed. It would compress and upload all layers; of what is not wanted, no more comes than it
 * takes to see what it is. Those held uploads count among the five that an engine has at once for all its pushes, until this
 * settles.
 *
 * Resolves to the diff IDs of those that did not come; why is told for --verbose. Rejects as {@link enginePush} does.
 */
export async function pushByProgress(
  engine: EngineImages & EngineConnection,
  image: Reference,
  wanted: ReadonlySet<Digest>,
  { onLayer, ...options }: PushByProgressOptions,
): Promise<ReadonlySet<Digest>> {
  const handler = new ProgressPushHandler(wanted, onLayer, options.signal);
  let why: string | undefined;
  try {
    why = await enginePush(engine, image, handler, { ...options, quietMs: QUIET });
  } finally {
    await handler.settled();
  }
  if (handler.missing.size > 0) {
    options.onDetail?.(`the engine did not push all that was wanted of ${image.given}: ${why ?? "it said nothing"}`);
  }
  return handler.missing;
}

/** ms. Uploads that wait make no sound; one that does not has something to tell many times a second. */
const QUIET = 10_000;

/**
 * Answers a push that no layer is here (but what has come, for the engine asks for what it has sent), and finds out which upload is
 * which: the engine does not say, but its lines of progress name layers by the first 12 digits of their diff ID, the first one
 * within 512 kB. So an upload may begin when it is known what the one before is. One that is not wanted then waits, and the engine
 * with it, by back-pressure.
 *
 * That starves none that is wanted: the engine begins with the topmost layers (moby, `distribution/push_v2.go`), five at a time,
 * and it is the topmost that a receiver on a graph driver can be missing. If it is otherwise the push goes quiet, and is given up.
 */
class ProgressPushHandler implements PushHandler {
  readonly policy: PushPolicy;
  readonly giveUp: AbortSignal;
  readonly missing: Set<Digest>;
  readonly #ids: ReadonlySet<string>;
  readonly #onLayer: (layer: SpooledLayer) => void;
  readonly #signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #received = new Map<Digest, number>();
  /** Layers that have been told apart. */
  readonly #named = new Set<string>();
  /** The upload of which it is not known yet what it is. */
  #current: { isWanted: boolean; named: Deferred<void> } | undefined;
  #turn: Promise<void> = Promise.resolve();
  /** Rejects in the end. */
  readonly #never = deferred<void>();
  readonly #taken: Promise<void>[] = [];

  constructor(wanted: ReadonlySet<Digest>, onLayer: (layer: SpooledLayer) => void, signal: AbortSignal) {
    this.missing = new Set(wanted);
    this.#ids = new Set([...wanted].map(shortOf));
    this.#onLayer = onLayer;
    this.#signal = signal;
    this.giveUp = this.#controller.signal;
    this.#never.promise.catch(() => {});
    this.policy = {
      presentSize: (digest) => this.#received.get(digest),
      uploadBegins: async () => await this.#begin(),
      received: (blob) => {
        this.#received.set(blob.digest, blob.size);
        const taking = this.#take(blob);
        taking.catch((error: unknown) => this.#controller.abort(error)); // thrown in the end
        this.#taken.push(taking);
      },
      manifest: () => {
        throw denied();
      },
    };
  }

  onProgress({ id, status }: EngineProgress): void {
    if (id === undefined || !status.startsWith("Push") || this.#named.has(id)) return;
    this.#named.add(id);
    if (this.#current === undefined) return;
    this.#current.isWanted = this.#ids.has(id);
    this.#current.named.resolve();
    this.#current = undefined;
  }

  /** When nothing comes any more. Rejects when what came cannot be taken. */
  async settled(): Promise<void> {
    this.#never.reject(denied());
    await Promise.all(this.#taken);
  }

  async #begin(): Promise<BeforeChunk> {
    const upload = { isWanted: true, named: deferred<void>() };
    const before = this.#turn;
    this.#turn = upload.named.promise;
    await Promise.race([before, this.#never.promise]);
    this.#current = upload;
    return () => (upload.isWanted ? undefined : this.#never.promise);
  }

  async #take(blob: SpooledBlob): Promise<void> {
    const diffId = await diffIdOf(blob, this.#signal);
    if (diffId === undefined || !this.missing.delete(diffId)) return await blob.remove();
    this.#onLayer({ ...blob, diffId });
    if (this.missing.size === 0) this.#controller.abort("all that was wanted is here");
  }
}

function denied(): DistributionError {
  return new DistributionError(403, "DENIED", "nothing but the wanted layers is taken");
}
