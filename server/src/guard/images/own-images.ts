import type { Tenant } from "../tenant.ts";

/** An image of a tenant on the engine. */
export interface OwnImage {
  /** The engine's ID, e.g. `sha256:…` */
  id: string;
  /** Those of its names on the engine that belong to this tenant, with tags, e.g. `guard.internal/a/docker.io/library/app:v1` */
  names: readonly string[];
  /** ms since 1970 */
  created: number;
  /** Bytes, in the engine's count */
  size: number;
}

export interface FoundImage extends OwnImage {
  /** The name on the engine by which it was found, with a tag or a digest; undefined if it was found by ID */
  foundAs?: string | undefined;
}

/** The images of the engine that belong to a tenant: those with its names, and those in the ledger that exist. */
export interface OwnImages {
  /** Lists them, except intermediate ones, and reports their number to the limits. */
  list(tenant: string, signal: AbortSignal): Promise<OwnImage[]>;
  /**
   * Finds one of the tenant's own images by a name, a name with a digest, an ID, or the beginning of an ID.
   *
   * @throws Refusal 404, with the engine's message; 400 for a text that is neither a name nor an ID
   */
  find(tenant: string, given: string, signal: AbortSignal): Promise<FoundImage>;
  /**
   * Records the image of a build as the tenant's, and checks the tenant's quotas. Removes an image beyond the quotas.
   *
   * @param names that the image gets next on the engine, with tags. They count. If they are given, an image that the tenant had before is not removed.
   * @throws Refusal `quota.images`, `quota.bytes`, `ledger.full`; `image.not-stamped` for an image without the tenant's label, which stays unchanged
   */
  take(tenant: Tenant, id: string, signal: AbortSignal, names?: readonly string[]): Promise<void>;
  /**
   * Records images as intermediate. The classic builder creates one for each step. They are listed only with --all, do not count, and are removed with the
   * image above them.
   *
   * @throws Refusal `ledger.full`
   */
  takeIntermediate(tenant: Tenant, ids: readonly string[]): Promise<void>;
}
