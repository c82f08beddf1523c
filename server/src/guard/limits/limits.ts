import type { Tenant } from "../tenant.ts";

/** The usage of tenants, and the checks of their quotas. The ledger preserves the usage across restarts. */
export interface Limits extends AsyncDisposable {
  /**
   * Reserves a slot for a build. Rejects with a Refusal `quota.builds`, `quota.build-time`, `quota.images` or
   * `quota.bytes`.
   *
   * @returns a slot whose `signal` is aborted with a Refusal if the build minutes are used up while the build runs.
   * Disposing frees the slot, and counts the time.
   */
  startBuild(tenant: Tenant): Promise<BuildSlot>;
  /** Counts bytes of a push. Throws a Refusal `quota.push-bytes` if the quota is exceeded; bytes beyond it count as well. */
  countPushed(tenant: Tenant, bytes: number): void;
  /** Reports the current images of a tenant, for {@link startBuild}. */
  reportImages(tenant: Tenant["id"], held: HeldImages): void;
  /**
   * Throws a Refusal `quota.images` or `quota.bytes` if a tenant exceeds its quota. Called after a build, with the
   * tenant's current images.
   */
  checkImages(tenant: Tenant, images: number, bytes: number): void;
  /** Returns the usage, for metrics. */
  usage(tenant: Tenant): Usage;
  /** Resolves when no build of a tenant runs, or after `timeout` ms. */
  idle(tenant: Tenant["id"], timeout: number): Promise<void>;
  /** Forgets a tenant that has no more builds. */
  forget(tenant: Tenant["id"]): void;
}

export interface HeldImages {
  images: number;
  bytes: number;
}

export interface BuildSlot extends AsyncDisposable {
  readonly signal: AbortSignal;
}

export interface Usage {
  builds: number;
  /** ms in the last 24 hours */
  buildTime: number;
  /** In the last 24 hours */
  pushBytes: number;
}
