import { TENANT_LABEL } from "../images/reserved.ts";
import type { Tenant } from "../tenant.ts";
import type { EngineIds } from "./ids.ts";

/** The values from which the guard's own attributes are created. */
export interface OwnAttributeValues {
  tenant: Tenant;
  ids: EngineIds;
  cgroupParent: string | undefined;
}

/** Returns a tenant's checked attributes, followed by those of the guard. */
export function withOwnAttributes(
  given: Readonly<Record<string, string>>,
  { tenant, ids, cgroupParent }: OwnAttributeValues,
): Record<string, string> {
  const attributes: Record<string, string> = {
    ...given,
    // Any text has the effect: dockerfile.v0 acts as if "# syntax=" had started it, and does not start another frontend.
    cmdline: "docker-over-ssh-guard",
    "build-arg:BUILDKIT_CACHE_MOUNT_NS": ids.cacheNamespace(tenant.id),
  };
  for (const [key, value] of Object.entries(labelsOf(tenant))) attributes[`label:${key}`] = value;
  if (cgroupParent !== undefined) attributes["cgroup-parent"] = cgroupParent;
  if (!tenant.policy.hasNetwork) attributes["force-network-mode"] = "none";
  if (!tenant.policy.sharesCache) {
    const salt = `${ids.cacheHost(tenant.id)}=127.0.0.1`;
    attributes["add-hosts"] = given["add-hosts"] ? `${given["add-hosts"]},${salt}` : salt;
  }
  const ulimits = mergedUlimits(given["ulimit"], tenant.resources.ulimits);
  if (ulimits !== "") attributes["ulimit"] = ulimits;
  return attributes;
}

/** Returns all labels that a tenant's images get. */
function labelsOf(tenant: Tenant): Record<string, string> {
  return { ...tenant.labels, [TENANT_LABEL]: tenant.id };
}

/** Merges ulimits. The operator's replace the tenant's of the same name. */
function mergedUlimits(given: string | undefined, own: readonly string[]): string {
  const byName = new Map<string, string>();
  for (const limit of [...(given ?? "").split(","), ...own]) {
    if (limit !== "") byName.set(limit.split("=")[0] ?? "", limit);
  }
  return [...byName.values()].join(",");
}
