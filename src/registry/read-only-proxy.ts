import type { Credentials } from "../engine/engine.ts";
import { newCredentials } from "./password.ts";
import { passwordProxy, readsOnly, type PasswordProxy } from "./password-proxy.ts";
import type { TemporaryRegistry } from "./registry.ts";

/** What the receiver comes through: it may read the image that is offered, and nothing else that the registry holds. */
export type Gate = PasswordProxy & { credentials: Credentials };

/** Opens the way to one repository of a registry, behind a password that is made for it. Opens no port. */
export function openGate(registry: TemporaryRegistry, repository: string): Gate {
  const credentials = newCredentials();
  const gate = passwordProxy({
    target: registry.url,
    credentials,
    upstream: registry.ownCredentials,
    allows: readsOnly(repository),
    onUnreachable: (error) => registry.lost(error.message),
  });
  return { ...gate, credentials };
}
