import type { Digest } from "../image/digest.ts";
import { isIndex } from "../image/manifest.ts";
import type { RegistryContent, StoredBlob, StoredManifest } from "../registry/embedded/registry-content.ts";
import { DistributionError } from "../registry/embedded/distribution-error.ts";
import type { PushedManifest, PushPolicy } from "../registry/embedded/push-policy.ts";
import type { SpooledBlob } from "../registry/embedded/upload-spool.ts";

/**
 * Keeps what is pushed to one repository, and gives it to who pulls from it: an ordinary registry. Manifests stay in memory,
 * so many at most; blobs in the spool.
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

  async received(blob: SpooledBlob): Promise<void> {
    const former = this.#blobs.get(blob.digest);
    if (former === undefined) this.#blobs.set(blob.digest, blob);
    else await blob.remove(); // sent twice at the same time
  }

  manifest(pushed: PushedManifest): void {
    const { parsed, reference, digest } = pushed;
    // A subject may come later (spec, "Push"); what an image is made of may not.
    const missing = isIndex(parsed)
      ? parsed.manifests.filter((entry) => !this.#manifests.has(entry.digest))
      : [parsed.config, ...parsed.layers].filter((blob) => !this.#blobs.has(blob.digest));
    if (missing[0] !== undefined) {
      throw new DistributionError(404, "MANIFEST_BLOB_UNKNOWN", `it names ${missing[0].digest}, which is not here`);
    }
    if (this.#manifests.size >= MAX_MANIFESTS || this.#tags.size >= MAX_MANIFESTS) {
      throw new DistributionError(429, "TOOMANYREQUESTS", `there are ${MAX_MANIFESTS} manifests already`);
    }
    this.#manifests.set(digest, pushed);
    if (reference !== digest) this.#tags.set(reference, digest);
  }
}

/** An image for every platform there is, with attestations, has some fifty; 4 MB each at most. */
const MAX_MANIFESTS = 100;
