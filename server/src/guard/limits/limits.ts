import type { Tenant } from "../tenant.ts";

/** What tenants have used up, and whether there is more. Kept over restarts in the ledger. */
export interface Limits extends AsyncDisposable {
  /**
   * Takes a place for a build. Rejects with a Refusal `quota.builds`, `quota.build-time`, `quota.images` or `quota.bytes`.
   *
   * @returns `signal` is aborted with a Refusal when the build minutes are used up while it runs. Disposing ends the build, and counts its time.
   */
  startBuild(tenant: Tenant): Promise<BuildPlace>;
  /** Counts bytes of a push. Throws a Refusal `quota.push-bytes` when there are no more; those that are too much are counted as well. */
  countPushed(tenant: Tenant, bytes: number): void;
  /** Says what a tenant has now: {@link startBuild} knows it from there. */
  tellImages(tenant: Tenant["id"], held: HeldImages): void;
  /** Throws a Refusal `quota.images` or `quota.bytes` when a tenant has more than it may. Called after a build with what it has now. */
  checkImages(tenant: Tenant, images: number, bytes: number): void;
  /** Uses, for metrics. */
  usage(tenant: Tenant): Usage;
  /** Resolves when no build of a tenant runs, or after `timeout` ms. */
  idle(tenant: Tenant["id"], timeout: number): Promise<void>;
  /** Forgets a tenant, which has no build any more. */
  forget(tenant: Tenant["id"]): void;
}

export interface HeldImages {
  images: number;
  bytes: number;
}

export interface BuildPlace extends AsyncDisposable {
  readonly signal: AbortSignal;
}

export interface Usage {
  builds: number;
  /** ms in the last 24 hours */
  buildTime: number;
  /** In the last 24 hours */
  pushBytes: number;
}
