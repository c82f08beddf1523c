import { matchesAny } from "../policy/patterns.ts";
import { originOf } from "../policy/bases.ts";
import { refuseAddressOf } from "../policy/registry-host.ts";
import { parseTenantName } from "../images/names.ts";
import { Refusal } from "../refusal.ts";
import type { Policy } from "../policy/policy.ts";

/** A cache that a build reads or writes: `type` and the attributes of `--cache-from` and `--cache-to`. */
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

/** Checks an entry of `--cache-to`: a cache in the image itself, or in a registry where the tenant may push. */
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
 * Checks an entry of `--cache-from`. A cache says what the result of a step is, so it can give false results to other tenants: it is allowed only where
 * tenants share the cache anyway.
 */
export function checkCacheImport({ type, attrs }: Readonly<CacheEntry>, policy: Policy): CacheEntry {
  checkAttributes(attrs);
  if (type === "registry" && policy.sharesCache) {
    const reference = parseTenantName(attrs["ref"] ?? "");
    originOf(reference, policy, false);
    refuseAddressOf(reference, [...policy.bases, ...policy.pulls]);
    return { type, attrs: { ...attrs } };
  }
  throw new Refusal(
    "cache.import",
    `a cache of the type "${type}" may not be read here, because it could change what other builds get: leave --cache-from out`,
  );
}

function checkAttributes(attrs: Readonly<Record<string, string>>): void {
  const unknown = Object.keys(attrs).find((key) => !ATTRIBUTES.has(key));
  if (unknown === undefined) return;
  throw new Refusal("cache.attribute", `the attribute "${unknown}" of a cache is not known to docker-over-ssh guard`);
}
