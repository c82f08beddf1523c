import type { Digest } from "../../../image/digest.ts";
import type { Manifest, Index } from "../../../image/manifest.ts";
import type { RegistryContent, StoredBlob, StoredManifest } from "../pull/registry-content.ts";
import type { SpooledBlob } from "./upload-spool.ts";

/** A manifest or index that was pushed, with its exact bytes. */
export interface PushedManifest extends StoredManifest {
  /** The tag or the digest to which it was pushed. */
  reference: string;
  parsed: Manifest | Index;
}

/**
 * The size in bytes that answers contain for a blob whose size is unknown. A graph driver copies it into the manifest that it pushes;
 * containerd uses its own sizes. No layer is that small. Docker would omit a size of 0 from its manifest.
 */
export const UNKNOWN_SIZE = 1;

/** Called before each chunk of an upload is written. Resolves when the chunk may be written. A rejection ends the upload. */
export type BeforeChunk = () => void | Promise<void>;

/** Decides what happens to pushes to one repository. Every method may throw a `DistributionError`, which becomes the answer. */
export interface PushPolicy {
  /**
   * Returns the size in bytes of a blob that the client need not upload, {@link UNKNOWN_SIZE} if its size is unknown, or undefined for a
   * blob that the client must upload. `accept` is the request's Accept header: containerd names the blob's media type in it.
   */
  presentSize(digest: Digest, accept: string): number | undefined;
  /**
   * Called when an upload is about to start, with the digest if the client names it. The upload starts when this resolves; the result
   * delays each of its chunks.
   */
  beforeUpload?(digest: Digest | undefined): BeforeChunk | undefined | Promise<BeforeChunk>;
  /** Called when a whole blob is about to arrive in one request. The blob can be read from then on, but is not yet verified. */
  blobArriving?(blob: StoredBlob & { digest: Digest }): void;
  /** Called with a blob that has arrived, after its digest has been verified. The policy owns the blob. */
  blobReceived(blob: SpooledBlob): void | Promise<void>;
  /** Called with each manifest. It refuses the manifest by throwing. */
  manifestReceived(pushed: PushedManifest): void | Promise<void>;
  /** The content of the repository for the clients that push to it. Default: none. */
  readonly content?: RegistryContent;
  /** The maximum bytes of one upload. */
  readonly maxUpload?: number;
}

/** Observes a push session. */
export interface PushObserver {
  /** Called for each request for the repository, and each chunk of an upload. */
  active?(): void;
  /** Called with an error of this process, such as a full disk: the push cannot succeed. */
  broken?(error: Error): void;
}
