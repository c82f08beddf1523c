import { Refusal } from "../refusal.ts";
import { GUARD_HOST } from "./names.ts";

/** Labels of the guard's own begin with this. A tenant sets none of them, neither in a request nor in a Dockerfile. */
export const LABEL_PREFIX = "docker-over-ssh.guard.";
/** Whose an image is. Its value is the tenant's ID. */
export const TENANT_LABEL = `${LABEL_PREFIX}tenant`;

export function isReservedLabel(key: string): boolean {
  return key.startsWith(LABEL_PREFIX);
}

/**
 * Refuses a host that builds get for the guard's own ends: it is part of the cache keys of one tenant, and who may add it would have those keys.
 *
 * @throws Refusal `build.extra-hosts`
 */
export function refuseReservedHost(host: string): void {
  const name = host.toLowerCase().replace(/\.+$/, "");
  if (name !== GUARD_HOST && !name.endsWith(`.${GUARD_HOST}`)) return;
  throw new Refusal("build.extra-hosts", `the host ${host} is the guard's own: leave it out of --add-host`);
}
