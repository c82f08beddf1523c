import { expect, test } from "vitest";
import { Endpoints } from "../../../../src/guard/endpoints/endpoints.ts";
import type { Tenant, TenantEndpoint } from "../../../../src/guard/tenant.ts";
import { tenantOf } from "../../../fixtures/guard/tenants.ts";

interface EndpointsBed {
  endpoints: Endpoints;
  /** What has happened, in its order */
  told: string[];
  /** The tenant as its socket sees it, by the socket's path */
  now: Map<string, () => Tenant>;
  /** Has the folder of a socket go. */
  lose: (socket: string) => void;
}

function endpointsBed({ broken = "" } = {}): EndpointsBed {
  const told: string[] = [];
  const now = new Map<string, () => Tenant>();
  const gone = new Map<string, AbortController>();
  const endpoints = new Endpoints({
    openFront: (tenant) => ({ take: () => {}, close: async () => void told.push(`front of ${tenant().id} closed`) }),
    async bind({ socket }, _onConnection, tenant) {
      if (socket === broken) throw new Error(`no ${socket}`);
      told.push(`${socket} bound`);
      now.set(socket, tenant);
      const controller = new AbortController();
      gone.set(socket, controller);
      const close = async (): Promise<void> => void told.push(`${socket} removed`);
      return { gone: controller.signal, close, [Symbol.asyncDispose]: async () => {} };
    },
    prepare: async (tenant) => ({ ...tenant, resources: { ...tenant.resources, cgroupParent: `/${tenant.id}` } }),
    idle: async () => {},
    left: async (tenant) => void told.push(`${tenant} left`),
    clear: async (tenant) => void told.push(`${tenant} cleared`),
    onFailure: (tenant, error) => void told.push(`${tenant}: ${(error as Error).message}`),
  });
  return { endpoints, told, now, lose: (socket) => gone.get(socket)?.abort() };
}

const endpoint = (id: string, socket: string, quotas = {}): TenantEndpoint => ({
  tenant: tenantOf(id, quotas),
  socket,
  isInTenantsFolder: false,
});

test("a tenant has its socket; new limits leave it as it is, and a new path moves it", async () => {
  const { endpoints, told, now } = endpointsBed();
  endpoints.open(endpoint("a", "/1", { builds: 1 }), true);
  endpoints.open(endpoint("a", "/1", { builds: 2 }), true);
  await endpoints.settled();
  expect(told).toEqual(["/1 bound"]);
  expect(now.get("/1")?.()).toMatchObject({ quotas: { builds: 2 }, resources: { cgroupParent: "/a" } });
  endpoints.open(endpoint("a", "/2"), true);
  await endpoints.settled();
  expect(told).toEqual(["/1 bound", "/1 removed", "front of a closed", "/2 bound"]);
  expect([endpoints.tenants, endpoints.sockets]).toEqual([["a"], ["/2"]]);
});

test("a socket is one tenant's: another that wants it is told, and the first keeps it", async () => {
  const { endpoints, told } = endpointsBed();
  endpoints.open(endpoint("a", "/1"), true);
  await endpoints.settled();
  endpoints.open(endpoint("b", "/1"), true);
  await endpoints.settled();
  expect(told).toEqual(["/1 bound", "b: /1 is the socket of the tenant a"]);
  expect(endpoints.sockets).toEqual(["/1"]);
});

test("a socket that cannot be had leaves nothing open, and concerns no other tenant", async () => {
  const { endpoints, told } = endpointsBed({ broken: "/x" });
  endpoints.open(endpoint("b", "/x"), true);
  endpoints.open(endpoint("a", "/1"), true);
  await endpoints.settled();
  expect(told.toSorted()).toEqual(["/1 bound", "b: no /x", "front of b closed"]);
  expect(endpoints.sockets).toEqual(["/1"]);
});

test("what a tenant has is removed when it goes for good, and then alone", async () => {
  const { endpoints, told, lose } = endpointsBed();
  endpoints.open(endpoint("a", "/1"), true);
  endpoints.close("a", false);
  await endpoints.settled();
  expect(told).toEqual(["/1 bound", "/1 removed", "front of a closed", "a left"]);
  endpoints.close("a", true);
  await endpoints.settled();
  expect(told.at(-1)).toBe("a cleared");
  endpoints.open({ ...endpoint("b", "/2"), isInTenantsFolder: true }, true);
  await endpoints.settled();
  lose("/2");
  await endpoints.settled();
  expect(endpoints.tenants).toEqual([]);
  expect(told.slice(-3)).toEqual(["/2 removed", "front of b closed", "b left"]);
});

test("disposing closes sockets, and clears nothing", async () => {
  const { endpoints, told } = endpointsBed();
  endpoints.open(endpoint("a", "/1"), true);
  await endpoints[Symbol.asyncDispose]();
  expect(told).toEqual(["/1 bound", "/1 removed", "front of a closed"]);
});
