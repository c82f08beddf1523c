import { startRegistryContainer, type RegistryEngine } from "./registry-container.ts";
import { useExternalRegistry } from "./external-registry.ts";
import type { RegistryChoice, RegistryOptions, TemporaryRegistry } from "./temporary-registry.ts";

/** Opens the chosen registry for a push. Rejects with `registry-unavailable`. */
export async function openRegistry(
  choice: RegistryChoice,
  engine: RegistryEngine,
  options: RegistryOptions,
): Promise<TemporaryRegistry> {
  return choice.kind === "container"
    ? await startRegistryContainer(engine, options)
    : await useExternalRegistry(choice, options);
}
