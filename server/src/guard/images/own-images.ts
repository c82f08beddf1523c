import type { Tenant } from "../tenant.ts";

/** An image of a tenant on the engine. */
export interface OwnImage {
  /** The engine's ID, e.g. `sha256:…` */
  id: string;
  /** Its names on the engine that are this tenant's, with tags, e.g. `guard.internal/a/docker.io/library/app:v1` */
  names: readonly string[];
  /** ms since 1970 */
  created: number;
  /** Bytes, as the engine counts them */
  size: number;
}

export interface FoundImage extends OwnImage {
  /** The name on the engine by which it was found, with a tag or a digest; undefined for an ID */
  foundAs?: string | undefined;
}

/** The images of the engine that are a tenant's: those with its names, and those in the ledger that exist. */
export interface OwnImages {
  /** Lists them without intermediate ones, and reports their number to the limits. */
  list(tenant: string, signal: AbortSignal): Promise<OwnImage[]>;
  /**
   * Finds an image by a name, a name with a digest, an ID, or the beginning of one, among the tenant's own.
   *
   * @throws Refusal 404, in the engine's words; 400 for text that is neither
   */
  find(tenant: string, given: string, signal: AbortSignal): Promise<FoundImage>;
  /**
   * Takes over what a build has made: records it, and checks the tenant's quotas. An image beyond the quotas is removed.
   *
   * @param names on the engine that the image gets next, with tags: they count. With them, an image that the tenant had before is not removed.
   * @throws Refusal `quota.images`, `quota.bytes`, `ledger.full`; `image.not-stamped` for one without the tenant's label, which is left alone
   */
  take(tenant: Tenant, id: string, signal: AbortSignal, names?: readonly string[]): Promise<void>;
  /**
   * Records images as intermediate, as the classic builder makes them of steps. They are listed with --all, do not count, and are removed with the image
   * above them.
   *
   * @throws Refusal `ledger.full`
   */
  takeIntermediate(tenant: Tenant, ids: readonly string[]): Promise<void>;
}
