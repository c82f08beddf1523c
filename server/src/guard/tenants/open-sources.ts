import type { EngineApi } from "../engine/engine-api.ts";
import type { ListedTenant, TenantDefaults, TenantSources } from "../settings.ts";
import { assignTenants } from "./assign-tenants.ts";
import { enginePods } from "./engine-pods.ts";
import { kubeletPods } from "./kubelet-pods.ts";
import { commandLineTenants, configuredTenants, localTenant } from "./listed-tenants.ts";
import type { ApiServer } from "./pod-directory.ts";
import type { TenantSource } from "./tenant-source.ts";

export interface SourceDependencies {
  defaults: TenantDefaults;
  /** Reads --config, like `readGuardConfig` */
  readConfig: (file: string) => Promise<readonly ListedTenant[]>;
  /** The engine whose pods are tenants; undefined in mode buildah */
  engine?: EngineApi | undefined;
  /** The API server that {@link findApiServer} finds, for --kubelet-dir */
  server?: ApiServer | undefined;
}

/**
 * Opens all sources of tenants. A tenant or a socket that two sources name belongs to the first, in the order of the
 * code below.
 */
export function openSources(
  { bindLocal, listed, configFile, usesEnginePods, kubelet }: TenantSources,
  { defaults, readConfig, engine, server }: SourceDependencies,
): TenantSource[] {
  const sources: TenantSource[] = [];
  if (bindLocal !== undefined) sources.push(localTenant(bindLocal, defaults));
  if (listed.length > 0) sources.push(commandLineTenants(listed, defaults));
  if (configFile !== undefined) sources.push(configuredTenants(configFile, readConfig, defaults));
  const hasEnginePods = usesEnginePods && engine !== undefined;
  if (hasEnginePods) sources.push(enginePods({ engine, defaults, kubelet: kubelet?.folder }));
  // Not both: the folder of a pod, which the kubelet removes later, would bring back a pod whose containers are gone.
  else if (kubelet !== undefined) sources.push(kubeletPods({ ...kubelet, defaults, server }));
  return assignTenants(sources);
}
