import type { EngineProgress } from "../engine/engine-images.ts";
import { shortOf, type Digest } from "../image/digest.ts";
import type { StoredBlob } from "../registry/embedded/registry-content.ts";
import { DistributionError } from "../registry/embedded/distribution-error.ts";
import type { PushHandler } from "./engine-push.ts";
import { UNKNOWN_SIZE, type PushedManifest, type PushPolicy } from "../registry/embedded/push-policy.ts";
import type { SpooledBlob } from "../registry/embedded/upload-spool.ts";

export interface PushCollectorOptions {
  /** Is the blob to be uploaded? Asked once for each HEAD. */
  wants: (digest: Digest, accept: string) => boolean;
  /** Diff IDs of layers that may be uploaded although the engine knows no digest for them (a graph driver's own layers). */
  layers: ReadonlySet<Digest>;
  /** Bytes that may be pushed, as the engine counts them: uncompressed. */
  maxBytes?: number;
  /** Bytes of one upload. */
  maxUpload?: number;
  /** Hears of a wanted blob when it begins to come. */
  onArriving?: (blob: StoredBlob & { digest: Digest }) => void;
  /** Takes a blob over. */
  onBlob: (blob: SpooledBlob) => void;
}

/**
 * Answers an engine's push so that it uploads what is wanted and nothing else, and gives it up when it uploads something else:
 * - A blob that nobody asked after cannot be a wanted one, unless it is of a layer of which the engine knows no digest. A graph
 *   driver compresses such a layer, without asking, while it uploads it.
 * - The engine's progress names the layers that it uploads: by diff ID (graph driver), or by digest.
 *
 * The last manifest, the one for the tag, is read and then refused. Otherwise the engine would make a note of the push: a
 * containerd store labels every blob with the name of the registry, and ours has another one each time.
 */
export class PushCollector implements PushHandler {
  readonly policy: PushPolicy;
  readonly giveUp: AbortSignal;
  /** By digest. */
  readonly manifests = new Map<Digest, PushedManifest>();
  /** Answered with "it is here". */
  readonly skipped = new Set<Digest>();
  #root: PushedManifest | undefined;
  readonly #options: PushCollectorOptions;
  readonly #controller = new AbortController();
  /** Asked for and not here yet. */
  readonly #wanted = new Set<Digest>();
  readonly #received = new Map<Digest, number>();
  /** The first 12 digits of layers that may be uploaded. */
  readonly #expected: Set<string>;
  /** Uncompressed bytes by layer. */
  readonly #totals = new Map<string, number>();

  constructor(options: PushCollectorOptions) {
    this.#options = options;
    this.giveUp = this.#controller.signal;
    this.#expected = new Set([...options.layers].map(shortOf));
    this.policy = {
      presentSize: (digest, accept) => this.#presentSize(digest, accept),
      uploadBegins: (digest) => this.#uploadBegins(digest),
      arriving: (blob) => {
        if (this.#wanted.has(blob.digest)) options.onArriving?.(blob);
      },
      received: (blob) => this.#take(blob),
      manifest: (pushed) => this.#read(pushed),
      ...(options.maxUpload !== undefined && { maxUpload: options.maxUpload }),
    };
  }

  /** The manifest or index that the tag was to point at; undefined when the push did not get that far. */
  get root(): PushedManifest | undefined {
    return this.#root;
  }

  onProgress({ id, status, total }: EngineProgress): void {
    if (id === undefined || !/^[0-9a-f]{12}$/.test(id) || !status.startsWith("Pushing")) return;
    if (!this.#expected.has(id)) return this.#stop(`the engine uploads the layer ${id}, which is not needed`);
    this.#totals.set(id, total ?? 0);
    const bytes = [...this.#totals.values()].reduce((all, some) => all + some, 0);
    if (bytes > (this.#options.maxBytes ?? Infinity)) this.#stop("what the engine has to upload is too much");
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

  #uploadBegins(digest: Digest | undefined): undefined {
    const isWanted = digest === undefined ? this.#wanted.size > 0 : this.#wanted.has(digest);
    if (!isWanted && this.#options.layers.size === 0) throw this.#refuse("the engine knows no digest for a layer");
  }

  #take(blob: SpooledBlob): void {
    if (!this.#wanted.delete(blob.digest) && this.#options.layers.size === 0) {
      throw this.#refuse("the engine uploads a blob that is not wanted");
    }
    this.#received.set(blob.digest, blob.size);
    this.#options.onBlob(blob);
  }

  #read(pushed: PushedManifest): void {
    if (this.manifests.size >= MAX_MANIFESTS) throw this.#refuse("the engine pushes too many manifests");
    this.manifests.set(pushed.digest, pushed);
    if (pushed.reference === pushed.digest) return;
    this.#root = pushed;
    throw new DistributionError(403, "DENIED", "this push was to be looked at, not kept");
  }

  #refuse(reason: string): DistributionError {
    this.#stop(reason);
    return new DistributionError(403, "DENIED", reason);
  }

  #stop(reason: string): void {
    this.#controller.abort(reason);
  }
}

/** An image for every platform there is, with attestations, has some fifty; 4 MB each at most. */
const MAX_MANIFESTS = 100;
