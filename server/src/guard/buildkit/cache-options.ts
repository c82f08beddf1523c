import { matchesAny } from "../policy/patterns.ts";
import { refuseAddressOf } from "../policy/registry-host.ts";
import { parseTenantName } from "../images/names.ts";
import { Refusal } from "../refusal.ts";
import type { Policy } from "../policy/policy.ts";

/** A cache that a build reads or writes: the `type` and the attributes of `--cache-from` or `--cache-to`. */
export interface CacheEntry {
  type: string;
  attrs: Record<string, string>;
}

const ATTRIBUTES = new Set([
  "ref",
  "mode",
  "oci-mediatypes",
  "image-manifest",
  "compression",
  "compression-level",
  "force-compression",
  "ignore-error",
]);

/** Checks an entry of `--cache-to`. A cache may be written to the image itself, or to a registry to which the tenant may push. */
export function checkCacheExport({ type, attrs }: Readonly<CacheEntry>, policy: Policy): CacheEntry {
  checkAttributes(attrs);
  if (type === "inline") return { type, attrs: { ...attrs } };
  if (type === "registry" && policy.sharesCache) {
    const reference = parseTenantName(attrs["ref"] ?? "");
    if (!matchesAny(policy.pushes, reference)) {
      throw new Refusal(
        "cache.export",
        `a cache may not be written to "${reference.given}": this tenant may not push there`,
      );
    }
    refuseAddressOf(reference, policy.pushes);
    return { type, attrs: { ...attrs } };
  }
  throw new Refusal("cache.export", `a cache of the type "${type}" may not be written here: only inline may`);
}

/**
 * Refuses `--cache-from`. Such a cache states the result of a step, and all tenants would get that result: the cache keys of bases and of `COPY` steps do not
 * contain the tenant.
 *
 * @throws Refusal `cache.import`
 */
export function refuseCacheImports(caches: readonly unknown[]): void {
  if (caches.length > 0) throw noCacheImport();
}

export function noCacheImport(): Refusal {
  return new Refusal(
    "cache.import",
    "a build may read no cache from elsewhere here, because it could change what other builds get: omit --cache-from",
  );
}

function checkAttributes(attrs: Readonly<Record<string, string>>): void {
  const unknown = Object.keys(attrs).find((key) => !ATTRIBUTES.has(key));
  if (unknown === undefined) return;
  throw new Refusal("cache.attribute", `the attribute "${unknown}" of a cache is not known to docker-over-ssh guard`);
}
