import type { SeatedTenant } from "../tenant.ts";
import type { TenantChanges, TenantSource } from "./tenant-source.ts";

interface Claim {
  source: TenantSource;
  changes: TenantChanges;
  seated: SeatedTenant;
}

/**
 * Settles which source a tenant belongs to: the first that names it. Another source that names the same tenant, or the same socket, waits until that tenant
 * is removed, which is reported. A pod that two sources find is not reported.
 */
export function withClaims(sources: readonly TenantSource[]): TenantSource[] {
  const held = new Map<string, Claim>();
  const waiting = new Set<Claim>();

  const holderOf = ({ source, seated }: Claim): Claim | undefined =>
    [...held.values()].find(
      (other) =>
        (other.seated.tenant.id === seated.tenant.id || other.seated.socket === seated.socket) &&
        !(other.source === source && other.seated.tenant.id === seated.tenant.id),
    );
  const forget = (source: TenantSource, id: string): boolean => {
    for (const claim of waiting) if (claim.source === source && claim.seated.tenant.id === id) waiting.delete(claim);
    const isHeld = held.get(id)?.source === source;
    if (isHeld) held.delete(id);
    return isHeld;
  };
  const take = (claim: Claim): void => {
    const { changes, seated } = claim;
    const holder = holderOf(claim);
    if (holder === undefined) {
      held.set(seated.tenant.id, claim);
      changes.onCame(seated);
      return;
    }
    waiting.add(claim);
    if (!isSame(holder.seated, seated)) changes.onProblem(conflict(claim, holder));
  };
  const takeWaiting = (): void => {
    for (const claim of waiting) {
      if (holderOf(claim) !== undefined) continue;
      waiting.delete(claim);
      take(claim);
    }
  };

  const wrap = (source: TenantSource): TenantSource => ({
    name: source.name,
    tenantsReturn: source.tenantsReturn,
    ...(source.reload && { reload: async () => await source.reload?.() }),
    async follow(changes, options) {
      const mine: TenantChanges = {
        onProblem: changes.onProblem,
        onCame(seated) {
          const wasHeld = forget(source, seated.tenant.id);
          take({ source, changes, seated });
          // Its new socket belongs to another tenant: it loses the old one, too.
          if (wasHeld && !held.has(seated.tenant.id)) changes.onWent(seated.tenant.id, false);
          takeWaiting();
        },
        onWent(id, isForGood) {
          if (!forget(source, id)) return;
          changes.onWent(id, isForGood);
          takeWaiting();
        },
      };
      await source.follow(mine, options);
    },
  });
  return sources.map(wrap);
}

const isSame = (one: SeatedTenant, other: SeatedTenant): boolean =>
  one.tenant.id === other.tenant.id && one.socket === other.socket;

function conflict({ source, seated }: Claim, holder: Claim): string {
  const what =
    seated.tenant.id === holder.seated.tenant.id
      ? `the tenant ${seated.tenant.id}`
      : `${seated.socket}, for the tenant ${seated.tenant.id}`;
  const of = holder.source === source ? `its tenant ${holder.seated.tenant.id}` : holder.source.name;
  return `${source.name} names ${what}, which ${of} has already: it gets no socket until that one is removed`;
}
