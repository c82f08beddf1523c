import type { Credentials } from "../engine/credentials.ts";
import { newCredentials } from "./password.ts";
import { passwordProxy, allowReads, type PasswordProxy } from "./password-proxy.ts";
import type { TemporaryRegistry } from "./temporary-registry.ts";

/** Lets the receiver read the offered image, and nothing else in the registry. */
export type ReadOnlyProxy = PasswordProxy & { credentials: Credentials };

/** Opens a proxy to one repository of a registry, with a password of its own. Opens no port. */
export function openReadOnlyProxy(registry: TemporaryRegistry, repository: string): ReadOnlyProxy {
  const credentials = newCredentials();
  const proxy = passwordProxy({
    target: registry.url,
    credentials,
    upstream: registry.ownCredentials,
    allows: allowReads(repository),
    onUnreachable: (error) => registry.reportUnreachable(error.message),
  });
  return { ...proxy, credentials };
}
