import type { TenantEndpoint } from "../tenant.ts";
import type { TenantChanges, TenantSource } from "./tenant-source.ts";

interface Candidate {
  source: TenantSource;
  changes: TenantChanges;
  endpoint: TenantEndpoint;
}

/**
 * Assigns each tenant to the first source that names it. If another source names the same tenant, or the same socket,
 * it waits until that tenant is removed, and this is reported. A pod that two sources find is not reported.
 */
export function assignTenants(sources: readonly TenantSource[]): TenantSource[] {
  const held = new Map<string, Candidate>();
  const waiting = new Set<Candidate>();

  const holderOf = ({ source, endpoint }: Candidate): Candidate | undefined =>
    [...held.values()].find(
      (other) =>
        (other.endpoint.tenant.id === endpoint.tenant.id || other.endpoint.socket === endpoint.socket) &&
        !(other.source === source && other.endpoint.tenant.id === endpoint.tenant.id),
    );
  const forget = (source: TenantSource, id: string): boolean => {
    for (const candidate of waiting)
      if (candidate.source === source && candidate.endpoint.tenant.id === id) waiting.delete(candidate);
    const isHeld = held.get(id)?.source === source;
    if (isHeld) held.delete(id);
    return isHeld;
  };
  const take = (candidate: Candidate): void => {
    const { changes, endpoint } = candidate;
    const holder = holderOf(candidate);
    if (holder === undefined) {
      held.set(endpoint.tenant.id, candidate);
      changes.onCame(endpoint);
      return;
    }
    waiting.add(candidate);
    if (!isSame(holder.endpoint, endpoint)) changes.onProblem(conflict(candidate, holder));
  };
  const takeWaiting = (): void => {
    for (const candidate of waiting) {
      if (holderOf(candidate) !== undefined) continue;
      waiting.delete(candidate);
      take(candidate);
    }
  };

  const wrap = (source: TenantSource): TenantSource => ({
    name: source.name,
    tenantsReturn: source.tenantsReturn,
    ...(source.reload && { reload: async () => await source.reload?.() }),
    async follow(changes, options) {
      const mine: TenantChanges = {
        onProblem: changes.onProblem,
        onCame(endpoint) {
          const wasHeld = forget(source, endpoint.tenant.id);
          take({ source, changes, endpoint });
          // Its new socket belongs to another tenant: it also loses the old one.
          if (wasHeld && !held.has(endpoint.tenant.id)) changes.onWent(endpoint.tenant.id, false);
          takeWaiting();
        },
        onWent(id, removesData) {
          if (!forget(source, id)) return;
          changes.onWent(id, removesData);
          takeWaiting();
        },
      };
      await source.follow(mine, options);
    },
  });
  return sources.map(wrap);
}

const isSame = (one: TenantEndpoint, other: TenantEndpoint): boolean =>
  one.tenant.id === other.tenant.id && one.socket === other.socket;

function conflict({ source, endpoint }: Candidate, holder: Candidate): string {
  const subject =
    endpoint.tenant.id === holder.endpoint.tenant.id
      ? `the tenant ${endpoint.tenant.id}`
      : `${endpoint.socket}, for the tenant ${endpoint.tenant.id}`;
  const of = holder.source === source ? `its tenant ${holder.endpoint.tenant.id}` : holder.source.name;
  return `${source.name} names ${subject}, which ${of} already has: the later tenant gets no socket until the earlier one is removed`;
}
