import type { TenantEndpoint } from "../tenant.ts";
import type { TenantSource } from "./tenant-source.ts";

/** Receives the changes of the tenants of all sources. */
export interface FollowedChanges {
  /** @param mayReturn whether the tenant may return after its removal */
  onCame: (endpoint: TenantEndpoint, mayReturn: boolean) => void;
  onWent: (id: string, removesData: boolean) => void;
  onProblem: (problem: string) => void;
}

/** Sources that are being followed. Disposing stops following them. */
export interface FollowedSources extends Disposable {
  /** Resolves when the signal is aborted. Rejects with the failure of a source, which ends the others. */
  readonly ended: Promise<void>;
}

/**
 * Follows sources. Resolves when each has reported its present tenants. Rejects with the Failure of a source that
 * cannot begin.
 */
export async function followSources(
  sources: readonly TenantSource[],
  { onCame, onWent, onProblem }: FollowedChanges,
  signal: AbortSignal,
): Promise<FollowedSources> {
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  const started = sources.map((source) => {
    let onReady = (): void => {};
    const ready = new Promise<void>((resolve) => (onReady = resolve));
    const changes = {
      onCame: (endpoint: TenantEndpoint) => onCame(endpoint, source.tenantsReturn),
      onWent,
      onProblem,
    };
    const following = source.follow(changes, { signal: stopped, onReady });
    following.catch(() => stop.abort()); // the failure is reported below
    return { following, ready: Promise.race([ready, following]) };
  });
  const ended = Promise.all(started.map(async ({ following }) => await following)).then(() => {});
  ended.catch(() => {}); // callers that await `ended` get the failure
  await Promise.all(started.map(async ({ ready }) => await ready));
  return { ended, [Symbol.dispose]: () => stop.abort() };
}
