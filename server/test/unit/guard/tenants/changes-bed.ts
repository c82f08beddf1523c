import type { TenantSource } from "../../../../src/guard/tenants/tenant-source.ts";
import type { TenantEndpoint } from "../../../../src/guard/tenant.ts";
import { TENANT } from "../sockets/socket-bed.ts";

export const DEFAULTS = { policy: TENANT.policy, resources: TENANT.resources, quotas: TENANT.quotas };

export interface Followed extends AsyncDisposable {
  /** `+ID SOCKET`, `-ID` for a tenant that may return, `--ID` for one that may not, `!PROBLEM` */
  reports: string[];
  endpoints: Map<string, TenantEndpoint>;
  ready: Promise<void>;
}

/** Follows a source, and records its reports. */
export function follow(source: TenantSource): Followed {
  const stop = new AbortController();
  const reports: string[] = [];
  const endpoints = new Map<string, TenantEndpoint>();
  let following = Promise.resolve();
  const ready = new Promise<void>((resolve, reject) => {
    const changes = {
      onCame(endpoint: TenantEndpoint) {
        reports.push(`+${endpoint.tenant.id} ${endpoint.socket}`);
        endpoints.set(endpoint.tenant.id, endpoint);
      },
      onWent(id: string, removesData: boolean) {
        reports.push(`${removesData ? "--" : "-"}${id}`);
        endpoints.delete(id);
      },
      onProblem: (problem: string) => void reports.push(`!${problem}`),
    };
    following = source.follow(changes, { signal: stop.signal, onReady: resolve });
    following.catch(reject);
  });
  return {
    reports,
    endpoints,
    ready,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await following.catch(() => {}); // `ready` has reported it
    },
  };
}
