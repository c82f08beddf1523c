import type { Policy, Quotas, Resources } from "./policy/policy.ts";

/** The user behind a socket. */
export interface Tenant {
  /**
   * Lower-case letters, digits and single hyphens: it is a component of image names on the engine. A pod's UID has this
   * form.
   */
  readonly id: string;
  /** Labels of the images that the tenant builds */
  readonly labels: Readonly<Record<string, string>>;
  readonly policy: Policy;
  readonly resources: Resources;
  readonly quotas: Quotas;
  /**
   * A docker config (`config.json`) with credentials for registries, which the tenant never sees. They take precedence
   * over the tenant's own.
   */
  readonly registryConfig?: string | undefined;
}

/** A tenant, and the socket on which it is served. */
export interface TenantEndpoint {
  readonly tenant: Tenant;
  /** The path of the socket */
  readonly socket: string;
  /**
   * Whether the tenant can write to the folder of the socket, e.g. an emptyDir of its pod. If so, nothing in it can be
   * trusted.
   */
  readonly isInTenantsFolder: boolean;
}

/** Longest tenant id. */
export const MAX_TENANT_ID = 63;
const TENANT_ID = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;

export function isTenantId(text: string): boolean {
  return text.length <= MAX_TENANT_ID && TENANT_ID.test(text);
}
