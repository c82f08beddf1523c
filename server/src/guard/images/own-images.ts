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

/** Which images of the engine are a tenant's: those with its names, and those in its ledger that exist. */
export interface OwnImages {
  list(tenant: string, signal: AbortSignal): Promise<OwnImage[]>;
  /**
   * Finds an image by a name, a name with a digest, an ID, or the beginning of one, among the tenant's own.
   *
   * @throws Refusal 404, in the engine's words; 400 for text that is neither
   */
  find(tenant: string, given: string, signal: AbortSignal): Promise<OwnImage>;
  /**
   * Takes over what a build has made: writes it down, and checks the tenant's quotas. An image that is too much is removed.
   *
   * @throws Refusal `quota.images`, `quota.bytes`, `ledger.full`
   */
  take(tenant: Tenant, id: string, signal: AbortSignal): Promise<void>;
}
