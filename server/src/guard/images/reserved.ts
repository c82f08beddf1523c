import { GUARD_HOST } from "./names.ts";

/** Labels of the guard's own begin with this. A tenant sets none of them, neither in a request nor in a Dockerfile. */
export const LABEL_PREFIX = "docker-over-ssh.guard.";
/** Whose an image is. Its value is the tenant's ID. */
export const TENANT_LABEL = `${LABEL_PREFIX}tenant`;

export function isReservedLabel(key: string): boolean {
  return key.startsWith(LABEL_PREFIX);
}

/** Hosts that builds get for the guard's own ends: they keep tenants' caches apart. */
export function isReservedHost(host: string): boolean {
  const name = host.toLowerCase().replace(/\.+$/, "");
  return name === GUARD_HOST || name.endsWith(`.${GUARD_HOST}`);
}
