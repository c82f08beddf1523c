import { familiarName, InvalidReference, parseReference, type Reference } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";

/**
 * The registry host of all names that a guard gives to images on the engine. The top-level domain `internal` is never delegated, so an engine that gets a
 * request to pull such a name finds no registry.
 */
export const GUARD_HOST = "guard.internal";

/** Maximum characters of domain and path together (distribution/reference) */
const MAX_NAME = 255;
/** Replaces the colon before a port. No host has an underscore. */
const PORT_SEPARATOR = "__";

/**
 * Returns the engine's name for a tenant's name: `app:v1` of the tenant `a` is `guard.internal/a/docker.io/library/app:v1`. Two different names never get the
 * same name on the engine, whether they belong to one tenant or to two.
 *
 * @throws Refusal 400 for a name that cannot be mapped
 */
export function engineName(tenant: string, reference: Reference): string {
  const { domain, path, tag, digest } = reference;
  if (!/^[a-z0-9.-]+(?::\d+)?$/.test(domain)) {
    throw new Refusal("name.host", `"${reference.given}": the host ${domain} must be a name in lower case`, {
      statusCode: 400,
    });
  }
  const name = `${prefixOf(tenant)}${domain.replace(":", PORT_SEPARATOR)}/${path}`;
  if (name.length > MAX_NAME) {
    throw new Refusal(
      "name.length",
      `"${reference.given}" is too long: with the tenant before it, it has ${name.length} characters, and ${MAX_NAME} are allowed`,
      {
        statusCode: 400,
      },
    );
  }
  return `${name}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** Returns the prefix of all names of a tenant on the engine. */
export function prefixOf(tenant: string): string {
  return `${GUARD_HOST}/${tenant}/`;
}

/** Returns the tenant's name for a name on the engine, in docker's short form: `app:v1`. Returns undefined for a name that is not this tenant's. */
export function tenantName(tenant: string, name: string): string | undefined {
  const prefix = prefixOf(tenant);
  if (!name.startsWith(prefix)) return undefined;
  const [host = "", ...rest] = name.slice(prefix.length).split("/");
  try {
    return nameAsListed(parseReference(`${host.replace(PORT_SEPARATOR, ":")}/${rest.join("/")}`));
  } catch (error) {
    if (error instanceof InvalidReference) return undefined;
    throw error;
  }
}

/** Returns a reference in docker's short form: `app:latest`. */
export function nameAsListed(reference: Reference): string {
  const { tag, digest } = reference;
  return `${familiarName(reference)}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** Parses a name that a tenant has sent. Throws a Refusal 400 for an invalid name, and 403 for one of the guard's own names. */
export function parseTenantName(given: string): Reference {
  try {
    const reference = parseReference(given);
    if (reference.domain === GUARD_HOST || reference.domain.startsWith(`${GUARD_HOST}:`)) {
      throw new Refusal("name.reserved", `"${given}": names of ${GUARD_HOST} are the guard's own`);
    }
    return reference;
  } catch (error) {
    if (error instanceof InvalidReference) throw new Refusal("name.invalid", error.message, { statusCode: 400 });
    throw error;
  }
}

/** Replaces the engine's names with the tenant's names in a text of the engine, e.g. an error or a line of progress. */
export function withTenantNames(tenant: string, text: string): string {
  return text.replaceAll(new RegExp(`${GUARD_HOST.replace(".", "\\.")}/[a-z0-9-]+/[\\w./:@-]+`, "g"), (name) => {
    let end = name.length;
    while (".:,-".includes(name.charAt(end - 1))) end--;
    return `${tenantName(tenant, name.slice(0, end)) ?? "(an image of another tenant)"}${name.slice(end)}`;
  });
}
