import type { Credentials } from "../engine/engine-images.ts";
import { newCredentials } from "./password.ts";
import { passwordProxy, readsOnly, type PasswordProxy } from "./password-proxy.ts";
import type { TemporaryRegistry } from "./temporary-registry.ts";

/** What the receiver comes through: it may read the image that is offered, and nothing else that the registry holds. */
export type ReadOnlyProxy = PasswordProxy & { credentials: Credentials };

/** Opens the way to one repository of a registry, behind a password that is made for it. Opens no port. */
export function openReadOnlyProxy(registry: TemporaryRegistry, repository: string): ReadOnlyProxy {
  const credentials = newCredentials();
  const proxy = passwordProxy({
    target: registry.url,
    credentials,
    upstream: registry.ownCredentials,
    allows: readsOnly(repository),
    onUnreachable: (error) => registry.lost(error.message),
  });
  return { ...proxy, credentials };
}
