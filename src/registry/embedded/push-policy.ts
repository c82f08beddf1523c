import type { Digest } from "../../image/digest.ts";
import type { Manifest, Index } from "../../image/manifest.ts";
import type { RegistryContent, StoredBlob, StoredManifest } from "./registry-content.ts";
import type { SpooledBlob } from "./upload-spool.ts";

/** A manifest or index that was pushed. Its bytes are those that came. */
export interface PushedManifest extends StoredManifest {
  /** The tag or the digest that it was pushed to. */
  reference: string;
  parsed: Manifest | Index;
}

/**
 * Bytes. Told for a blob of which nobody knows the size, and found again in the manifest that a graph driver makes of such
 * answers (containerd has sizes of its own). No layer is that small. Of 0, Docker would leave the size out of its manifest.
 */
export const UNKNOWN_SIZE = 1;

/** Lets an upload's next chunk through, in its own time. Rejecting breaks the upload off. */
export type BeforeChunk = () => void | Promise<void>;

/** What becomes of what is pushed to one repository. Every method may throw a `DistributionError`, which is the answer then. */
export interface PushPolicy {
  /**
   * The size to tell, in bytes, of a blob that need not be sent; undefined for one that is wanted. `accept` is the request's
   * Accept header: containerd names the blob's media type in it.
   *
   * Where the size is not known, {@link UNKNOWN_SIZE}.
   */
  presentSize(digest: Digest, accept: string): number | undefined;
  /**
   * An upload wants to begin; nobody knows yet of what. `digest` where the client names it. May let it wait. What it resolves to
   * is asked before each chunk of the upload is written, which waits as long as that says.
   */
  uploadBegins?(digest: Digest | undefined): BeforeChunk | undefined | Promise<BeforeChunk>;
  /** All of a blob is about to come, of so many bytes, that is called by that digest; it can be read from now on, unproven. */
  arriving?(blob: StoredBlob & { digest: Digest }): void;
  /** An upload has come in full and has the digest that its client named. The blob is the policy's from here. */
  received(blob: SpooledBlob): void | Promise<void>;
  /** A manifest has come. Throwing refuses it, which does not keep the policy from having read it. */
  manifest(pushed: PushedManifest): void | Promise<void>;
  /** What the repository has to give to whoever pushes to it. Nothing by default. */
  readonly content?: RegistryContent;
  /** Bytes of one upload at most. */
  readonly maxUpload?: number;
}

/** Who looks on while something is pushed. */
export interface PushObserver {
  /** A request for the repository has come, or some bytes of an upload. */
  active?(): void;
  /** Something here broke, a full disk for instance: no answer will mend the push. */
  broken?(error: Error): void;
}
