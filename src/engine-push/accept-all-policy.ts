import type { Digest } from "../image/digest.ts";
import { isIndex } from "../image/manifest.ts";
import type { RegistryContent, StoredBlob, StoredManifest } from "../registry/embedded/pull/registry-content.ts";
import { DistributionError } from "../registry/embedded/http/distribution-error.ts";
import type { PushedManifest, PushPolicy } from "../registry/embedded/push/push-policy.ts";
import type { SpooledBlob } from "../registry/embedded/push/upload-spool.ts";

/** An image for every platform, with attestations, has about fifty manifests, of at most 4 MB each. */
const MAX_MANIFESTS = 100;

/**
 * Accepts all pushes to one repository, and serves the pushed content, as an ordinary registry does. Stores blobs in the spool, and a
 * limited number of manifests in memory.
 */
export class AcceptAllPolicy implements PushPolicy {
  readonly content: RegistryContent;
  readonly #repository: string;
  readonly #manifests = new Map<string, StoredManifest>();
  readonly #tags = new Map<string, Digest>();
  readonly #blobs = new Map<Digest, SpooledBlob>();

  constructor(repository: string) {
    this.#repository = repository;
    const ifHere = <T>(name: string, value: T): T | undefined => (name === this.#repository ? value : undefined);
    this.content = {
      manifest: async (name, reference) => ifHere(name, this.#manifests.get(this.#tags.get(reference) ?? reference)),
      blob: async (name, digest): Promise<StoredBlob | undefined> => ifHere(name, this.#blobs.get(digest)),
      tags: async (name) => ifHere(name, [...this.#tags.keys()]),
    };
  }

  presentSize(digest: Digest): number | undefined {
    return this.#blobs.get(digest)?.size;
  }

  async blobReceived(blob: SpooledBlob): Promise<void> {
    const isPresent = this.#blobs.has(blob.digest); // two uploads of the blob ran at the same time
    if (isPresent) await blob.remove();
    else this.#blobs.set(blob.digest, blob);
  }

  manifestReceived(pushed: PushedManifest): void {
    const { parsed, reference, digest } = pushed;
    // A subject may be pushed later (spec, "Push"), but the blobs and manifests of the image may not.
    const missing = isIndex(parsed)
      ? parsed.manifests.filter((entry) => !this.#manifests.has(entry.digest))
      : [parsed.config, ...parsed.layers].filter((blob) => !this.#blobs.has(blob.digest));
    if (missing[0] !== undefined) {
      throw new DistributionError(404, "MANIFEST_BLOB_UNKNOWN", `it names ${missing[0].digest}, which is missing`);
    }
    if (this.#manifests.size >= MAX_MANIFESTS || this.#tags.size >= MAX_MANIFESTS) {
      throw new DistributionError(429, "TOOMANYREQUESTS", `there are already ${MAX_MANIFESTS} manifests`);
    }
    this.#manifests.set(digest, pushed);
    if (reference !== digest) this.#tags.set(reference, digest);
  }
}
