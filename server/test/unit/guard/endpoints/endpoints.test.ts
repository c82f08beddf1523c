import { expect, test } from "vitest";
import { Endpoints } from "../../../../src/guard/endpoints/endpoints.ts";
import type { Tenant, TenantEndpoint } from "../../../../src/guard/tenant.ts";
import { tenantOf } from "../../../fixtures/guard/tenants.ts";

interface EndpointsBed {
  endpoints: Endpoints;
  /** The events, in order */
  events: string[];
  /** Returns the tenant's current state for a socket, by the socket's path */
  now: Map<string, () => Tenant>;
  /** Simulates the removal of a socket's folder. */
  lose: (socket: string) => void;
}

function endpointsBed({ broken = "" } = {}): EndpointsBed {
  const events: string[] = [];
  const now = new Map<string, () => Tenant>();
  const gone = new Map<string, AbortController>();
  const endpoints = new Endpoints({
    openHandler: (tenant) => ({
      take: () => {},
      close: async () => void events.push(`handler of ${tenant().id} closed`),
    }),
    async bind({ socket }, _onConnection, tenant) {
      if (socket === broken) throw new Error(`no ${socket}`);
      events.push(`${socket} bound`);
      now.set(socket, tenant);
      const controller = new AbortController();
      gone.set(socket, controller);
      const close = async (): Promise<void> => void events.push(`${socket} removed`);
      return { gone: controller.signal, close, [Symbol.asyncDispose]: async () => {} };
    },
    prepare: async (tenant) => ({ ...tenant, resources: { ...tenant.resources, cgroupParent: `/${tenant.id}` } }),
    idle: async () => {},
    left: async (tenant) => void events.push(`${tenant} left`),
    clear: async (tenant) => void events.push(`${tenant} cleared`),
    onFailure: (tenant, error) => void events.push(`${tenant}: ${(error as Error).message}`),
  });
  return { endpoints, events, now, lose: (socket) => gone.get(socket)?.abort() };
}

const endpoint = (id: string, socket: string, quotas = {}): TenantEndpoint => ({
  tenant: tenantOf(id, quotas),
  socket,
  isInTenantsFolder: false,
});

test("serves a tenant at its socket; keeps the socket for new limits, and moves it for a new path", async () => {
  const { endpoints, events, now } = endpointsBed();
  endpoints.open(endpoint("a", "/1", { builds: 1 }), true);
  endpoints.open(endpoint("a", "/1", { builds: 2 }), true);
  await endpoints.settled();
  expect(events).toEqual(["/1 bound"]);
  expect(now.get("/1")?.()).toMatchObject({ quotas: { builds: 2 }, resources: { cgroupParent: "/a" } });
  endpoints.open(endpoint("a", "/2"), true);
  await endpoints.settled();
  expect(events).toEqual(["/1 bound", "/1 removed", "handler of a closed", "/2 bound"]);
  expect([endpoints.tenants, endpoints.sockets]).toEqual([["a"], ["/2"]]);
});

test("keeps a socket for its first tenant, and reports another one that requests it", async () => {
  const { endpoints, events } = endpointsBed();
  endpoints.open(endpoint("a", "/1"), true);
  await endpoints.settled();
  endpoints.open(endpoint("b", "/1"), true);
  await endpoints.settled();
  expect(events).toEqual(["/1 bound", "b: the tenant b cannot have the socket /1: it belongs to the tenant a"]);
  expect(endpoints.sockets).toEqual(["/1"]);
});

test("leaves nothing open for an unavailable socket, and affects no other tenant", async () => {
  const { endpoints, events } = endpointsBed({ broken: "/x" });
  endpoints.open(endpoint("b", "/x"), true);
  endpoints.open(endpoint("a", "/1"), true);
  await endpoints.settled();
  expect(events.toSorted()).toEqual(["/1 bound", "b: no /x", "handler of b closed"]);
  expect(endpoints.sockets).toEqual(["/1"]);
});

test("removes a tenant's data only when the tenant is removed for good", async () => {
  const { endpoints, events, lose } = endpointsBed();
  endpoints.open(endpoint("a", "/1"), true);
  endpoints.close("a", false);
  await endpoints.settled();
  expect(events).toEqual(["/1 bound", "/1 removed", "handler of a closed", "a left"]);
  endpoints.close("a", true);
  await endpoints.settled();
  expect(events.at(-1)).toBe("a cleared");
  endpoints.open({ ...endpoint("b", "/2"), isInTenantsFolder: true }, true);
  await endpoints.settled();
  lose("/2");
  await endpoints.settled();
  expect(endpoints.tenants).toEqual([]);
  expect(events.slice(-3)).toEqual(["/2 removed", "handler of b closed", "b left"]);
});

test("closes sockets on disposal, and removes no data", async () => {
  const { endpoints, events } = endpointsBed();
  endpoints.open(endpoint("a", "/1"), true);
  await endpoints[Symbol.asyncDispose]();
  expect(events).toEqual(["/1 bound", "/1 removed", "handler of a closed"]);
});
