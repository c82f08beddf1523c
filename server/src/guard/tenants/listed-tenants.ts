import { isDeepStrictEqual } from "node:util";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { Failure, messageOf } from "docker-over-ssh/builds";
import type { ListedTenant, TenantDefaults } from "../settings.ts";
import type { TenantEndpoint } from "../tenant.ts";
import type { TenantChanges, TenantSource } from "./tenant-source.ts";

/** Adds the defaults to a tenant of the command line or of the configuration. */
function withDefaults(listed: ListedTenant, defaults: TenantDefaults): TenantEndpoint {
  const { id, socket, labels = {}, policy, resources, quotas, registryConfig } = listed;
  return {
    tenant: {
      id,
      labels,
      policy: { ...defaults.policy, ...policy },
      resources: { ...defaults.resources, ...resources },
      quotas: { ...defaults.quotas, ...quotas },
      registryConfig: registryConfig ?? defaults.registryConfig,
    },
    socket,
    isInTenantsFolder: false,
  };
}

/** --bind-local: one tenant for trying the guard out. Creates the folder of its socket. */
export function localTenant(local: ListedTenant, defaults: TenantDefaults): TenantSource {
  const read = async (): Promise<ListedTenant[]> => {
    await createFolder(dirname(local.socket));
    return [local];
  };
  return listedTenants("--bind-local", read, defaults);
}

/** --tenant */
export function commandLineTenants(listed: readonly ListedTenant[], defaults: TenantDefaults): TenantSource {
  return listedTenants("--tenant", async () => await Promise.resolve(listed), defaults);
}

/** --config: its tenants, and the changes when it is read again. */
export function configuredTenants(
  file: string,
  read: (file: string) => Promise<readonly ListedTenant[]>,
  defaults: TenantDefaults,
): TenantSource {
  return listedTenants(`--config ${file}`, async () => await read(file), defaults);
}

function listedTenants(
  name: string,
  read: () => Promise<readonly ListedTenant[]>,
  defaults: TenantDefaults,
): TenantSource {
  let reported = new Map<string, TenantEndpoint>();
  let changes: TenantChanges | undefined;
  let reading: Promise<void> = Promise.resolve();
  const readAgain = async (): Promise<void> => {
    const endpoints = (await read()).map((listed) => withDefaults(listed, defaults));
    const now = new Map(endpoints.map((one) => [one.tenant.id, one]));
    const before = reported;
    reported = now;
    for (const id of before.keys()) if (!now.has(id)) changes?.onWent(id, false);
    for (const [id, one] of now) if (!isDeepStrictEqual(one, before.get(id))) changes?.onCame(one);
  };
  return {
    name,
    tenantsReturn: true,
    async follow(to, { signal, onReady }) {
      changes = to;
      await this.reload?.();
      onReady();
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener("abort", () => resolve(), { once: true });
      });
      changes = undefined;
    },
    async reload() {
      reading = reading.catch(() => {}).then(readAgain); // one read after the other
      await reading;
    },
  };
}

async function createFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw new Failure("usage", `the folder ${path} cannot be created: ${messageOf(error)}`, {
      hint: "Name another folder: --bind-local",
      cause: error,
    });
  }
}
