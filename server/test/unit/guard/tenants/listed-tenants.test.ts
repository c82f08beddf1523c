import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { commandLineTenants, configuredTenants, localTenant } from "../../../../src/guard/tenants/listed-tenants.ts";
import type { ListedTenant } from "../../../../src/guard/settings.ts";
import { temporaryFolder } from "../sockets/socket-bed.ts";
import { DEFAULTS, follow } from "./changes-bed.ts";

test("--bind-local creates its folder, and has one tenant", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "a/b");
  const listed = { id: "local", socket: join(path, "docker.sock"), policy: { bases: ["*"] } };
  await using local = follow(localTenant(listed, DEFAULTS));
  await local.ready;
  expect(local.endpoints.get("local")?.tenant.policy).toEqual({ ...DEFAULTS.policy, bases: ["*"] });
  expect(local.reports).toEqual([`+local ${path}/docker.sock`]);
  expect(existsSync(path)).toBe(true);
});

test("gives a tenant its own settings, and the defaults for the rest", async () => {
  const listed = [
    { id: "a", socket: "/a.sock", resources: { memory: 5 }, policy: { hasNetwork: false }, labels: { team: "a" } },
  ];
  await using source = follow(commandLineTenants(listed, { ...DEFAULTS, registryConfig: "/creds.json" }));
  await source.ready;
  expect(source.endpoints.get("a")).toEqual({
    tenant: {
      id: "a",
      labels: { team: "a" },
      policy: { ...DEFAULTS.policy, hasNetwork: false },
      resources: { ulimits: [], memory: 5 },
      quotas: DEFAULTS.quotas,
      registryConfig: "/creds.json",
    },
    socket: "/a.sock",
    isInTenantsFolder: false,
  });
});

test("reports only the changes of a configuration that is read again, and nothing if it is unreadable", async () => {
  let read: ListedTenant[] | undefined = [
    { id: "same", socket: "/same.sock" },
    { id: "changed", socket: "/changed.sock" },
    { id: "removed", socket: "/removed.sock" },
  ];
  const source = configuredTenants(
    "guard.json",
    async () => await (read === undefined ? Promise.reject(new Error("broken")) : Promise.resolve(read)),
    DEFAULTS,
  );
  await using followed = follow(source);
  await followed.ready;
  followed.reports.length = 0;
  read = undefined;
  await expect(source.reload?.()).rejects.toThrow("broken");
  expect(followed.reports).toEqual([]);
  read = [
    { id: "same", socket: "/same.sock" },
    { id: "changed", socket: "/changed.sock", quotas: { connections: 3 } },
    { id: "new", socket: "/new.sock" },
  ];
  await source.reload?.();
  expect(followed.reports).toEqual(["-removed", "+changed /changed.sock", "+new /new.sock"]);
  expect(followed.endpoints.get("changed")?.tenant.quotas).toEqual({ ...DEFAULTS.quotas, connections: 3 });
});

test("fails if the configuration is unreadable at the start", async () => {
  await using source = follow(
    configuredTenants("guard.json", async () => await Promise.reject(new Error("broken")), DEFAULTS),
  );
  await expect(source.ready).rejects.toThrow("broken");
});
