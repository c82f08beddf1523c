import type { TenantSource } from "../../../../src/guard/tenants/tenant-source.ts";
import type { TenantEndpoint } from "../../../../src/guard/tenant.ts";
import { TENANT } from "../sockets/socket-bed.ts";

export const DEFAULTS = { policy: TENANT.policy, resources: TENANT.resources, quotas: TENANT.quotas };

export interface Followed extends AsyncDisposable {
  /** `+ID SOCKET`, `-ID` for a tenant that may come back, `--ID` for one that does not, `!PROBLEM` */
  told: string[];
  endpoints: Map<string, TenantEndpoint>;
  ready: Promise<void>;
}

/** Follows a source, and writes down what it tells. */
export function follow(source: TenantSource): Followed {
  const stop = new AbortController();
  const told: string[] = [];
  const endpoints = new Map<string, TenantEndpoint>();
  let following = Promise.resolve();
  const ready = new Promise<void>((resolve, reject) => {
    const changes = {
      onCame(endpoint: TenantEndpoint) {
        told.push(`+${endpoint.tenant.id} ${endpoint.socket}`);
        endpoints.set(endpoint.tenant.id, endpoint);
      },
      onWent(id: string, isForGood: boolean) {
        told.push(`${isForGood ? "--" : "-"}${id}`);
        endpoints.delete(id);
      },
      onProblem: (problem: string) => void told.push(`!${problem}`),
    };
    following = source.follow(changes, { signal: stop.signal, onReady: resolve });
    following.catch(reject);
  });
  return {
    told,
    endpoints,
    ready,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await following.catch(() => {}); // `ready` has told
    },
  };
}
