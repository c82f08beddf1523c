import { Refusal } from "../refusal.ts";
import { GUARD_HOST } from "./names.ts";

/** The prefix of the guard's own labels. A tenant may not set them, neither in a request nor in a Dockerfile. */
export const LABEL_PREFIX = "docker-over-ssh.guard.";
/** The label that states to whom an image belongs. Its value is the tenant's ID. */
export const TENANT_LABEL = `${LABEL_PREFIX}tenant`;

export function isReservedLabel(key: string): boolean {
  return key.startsWith(LABEL_PREFIX);
}

/**
 * Refuses a host that the guard itself adds to builds. The host is part of the cache keys of one tenant, so a build that adds it would have those keys.
 *
 * @throws Refusal `build.extra-hosts`
 */
export function refuseReservedHost(host: string): void {
  const name = host.toLowerCase().replace(/\.+$/, "");
  if (name !== GUARD_HOST && !name.endsWith(`.${GUARD_HOST}`)) return;
  throw new Refusal("build.extra-hosts", `the host ${host} is the guard's own: omit it from --add-host`);
}
