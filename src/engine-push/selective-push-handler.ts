import type { EngineProgress } from "../engine/engine-images.ts";
import { shortOf, type Digest } from "../image/digest.ts";
import { pushFailureText, type PushFailure } from "../output/reasons.ts";
import type { StoredBlob } from "../registry/embedded/pull/registry-content.ts";
import { DistributionError } from "../registry/embedded/http/distribution-error.ts";
import type { PushHandler } from "./engine-push.ts";
import { UNKNOWN_SIZE, type PushedManifest, type PushPolicy } from "../registry/embedded/push/push-policy.ts";
import type { SpooledBlob } from "../registry/embedded/push/upload-spool.ts";

/** An image for every platform, with attestations, has about fifty manifests, of at most 4 MB each. */
const MAX_MANIFESTS = 100;

export interface SelectivePushOptions {
  /** Returns whether the engine must upload a blob. Called once for each HEAD request, with its Accept header. */
  wants: (digest: Digest, accept: string) => boolean;
  /** Diff IDs of layers that the engine may upload without knowing their digests (layers that a graph driver has built). */
  layers: ReadonlySet<Digest>;
  /** The maximum plain bytes of such layers, as the engine counts them. */
  maxBytes?: number;
  /** The maximum bytes of one upload. */
  maxUpload?: number;
  /** Called when a wanted blob begins to arrive. */
  onArriving?: (blob: StoredBlob & { digest: Digest }) => void;
  /** Called with each blob that has arrived. It owns the blob. */
  onBlob: (blob: SpooledBlob) => void;
}

/**
 * Answers an engine's push so that the engine uploads only the wanted blobs. Gives up the push if the engine uploads anything else:
 * - An upload without an earlier request for its blob cannot be a wanted blob, unless it is a layer whose digest the engine does not know.
 *   A graph driver compresses such a layer while it uploads it, and does not request the blob first.
 * - The engine's progress names the layers that it uploads: by diff ID (graph driver), or by digest.
 *
 * Reads the last manifest, which is for the tag, and refuses it. Otherwise the engine would record the push: a containerd store labels
 * every blob with the name of the registry, which differs for each run.
 */
export class SelectivePushHandler implements PushHandler {
  readonly policy: PushPolicy;
  readonly giveUp: AbortSignal;
  /** By digest. */
  readonly manifests = new Map<Digest, PushedManifest>();
  /** Blobs that the engine did not upload, because they were reported as present. */
  readonly skipped = new Set<Digest>();
  #root: PushedManifest | undefined;
  readonly #options: SelectivePushOptions;
  readonly #controller = new AbortController();
  /** Wanted blobs that the engine has requested, but not uploaded. */
  readonly #wanted = new Set<Digest>();
  readonly #received = new Map<Digest, number>();
  /** The first 12 digits of layers that may be uploaded. */
  readonly #expected: Set<string>;
  /** Plain bytes by layer. */
  readonly #totals = new Map<string, number>();

  constructor(options: SelectivePushOptions) {
    this.#options = options;
    this.giveUp = this.#controller.signal;
    this.#expected = new Set([...options.layers].map(shortOf));
    this.policy = {
      presentSize: (digest, accept) => this.#presentSize(digest, accept),
      beforeUpload: (digest) => this.#beforeUpload(digest),
      blobArriving: (blob) => {
        if (this.#wanted.has(blob.digest)) options.onArriving?.(blob);
      },
      blobReceived: (blob) => this.#takeBlob(blob),
      manifestReceived: (pushed) => this.#takeManifest(pushed),
      ...(options.maxUpload !== undefined && { maxUpload: options.maxUpload }),
    };
  }

  /** The manifest or index for the tag; undefined if the push did not get that far. */
  get root(): PushedManifest | undefined {
    return this.#root;
  }

  onProgress({ id, status, total }: EngineProgress): void {
    if (id === undefined || !/^[0-9a-f]{12}$/.test(id) || !status.startsWith("Pushing")) return;
    if (!this.#expected.has(id)) return this.#stop({ code: "unwanted-layer", layer: id });
    this.#totals.set(id, total ?? 0);
    const bytes = [...this.#totals.values()].reduce((all, some) => all + some, 0);
    if (bytes > (this.#options.maxBytes ?? Infinity)) this.#stop({ code: "too-many-bytes" });
  }

  #presentSize(digest: Digest, accept: string): number | undefined {
    const size = this.#received.get(digest);
    if (size !== undefined) return size;
    if (!this.#options.wants(digest, accept)) {
      this.skipped.add(digest);
      return UNKNOWN_SIZE;
    }
    this.#wanted.add(digest);
    this.#expected.add(shortOf(digest));
    return undefined;
  }

  #beforeUpload(digest: Digest | undefined): undefined {
    const isWanted = digest === undefined ? this.#wanted.size > 0 : this.#wanted.has(digest);
    if (!isWanted && this.#options.layers.size === 0) throw this.#refuse({ code: "no-digest" });
  }

  #takeBlob(blob: SpooledBlob): void {
    if (!this.#wanted.delete(blob.digest) && this.#options.layers.size === 0) {
      throw this.#refuse({ code: "unwanted-blob" });
    }
    this.#received.set(blob.digest, blob.size);
    this.#options.onBlob(blob);
  }

  #takeManifest(pushed: PushedManifest): void {
    if (this.manifests.size >= MAX_MANIFESTS) throw this.#refuse({ code: "too-many-manifests" });
    this.manifests.set(pushed.digest, pushed);
    if (pushed.reference === pushed.digest) return;
    this.#root = pushed;
    throw new DistributionError(403, "DENIED", "this registry reads the manifest, but does not store it");
  }

  #refuse(reason: PushFailure): DistributionError {
    this.#stop(reason);
    return new DistributionError(403, "DENIED", pushFailureText(reason));
  }

  #stop(reason: PushFailure): void {
    this.#controller.abort(reason);
  }
}
