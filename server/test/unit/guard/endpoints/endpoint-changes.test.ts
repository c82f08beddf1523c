import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Endpoints, type TenantSocket } from "../../../../src/guard/endpoints/endpoints.ts";
import type { TenantEndpoint } from "../../../../src/guard/tenant.ts";
import { tenantOf } from "../../../fixtures/guard/tenants.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

const endpoint = (id: string, socket: string, isInTenantsFolder = false): TenantEndpoint => ({
  tenant: tenantOf(id),
  socket,
  isInTenantsFolder,
});

/** Endpoints whose actions record their calls, and fail while `failing` names the call. */
function bed() {
  const calls: string[] = [];
  const failing = new Set<string>();
  const bound = new Map<string, AbortController>();
  /** `idle` resolves with this promise */
  let running = Promise.resolve();
  const ask = (what: string): void => {
    calls.push(what);
    if (failing.has(what)) throw new Error(`${what} fails`);
  };
  const endpoints = new Endpoints({
    openHandler: () => ({ take: () => {}, close: async () => await Promise.resolve() }),
    async bind({ socket }): Promise<TenantSocket> {
      ask(`bind ${socket}`);
      const gone = new AbortController();
      bound.set(socket, gone);
      const close = async (): Promise<void> => {
        await Promise.resolve();
        if (bound.get(socket) === gone) bound.delete(socket);
      };
      await Promise.resolve();
      return { gone: gone.signal, close, [Symbol.asyncDispose]: close };
    },
    async prepare(tenant) {
      ask(`prepare ${tenant.id}`);
      return await Promise.resolve({ ...tenant, resources: { ...tenant.resources, cgroupParent: "/made" } });
    },
    idle: async (tenant) => {
      await running;
      calls.push(`idle ${tenant}`);
    },
    left: async (tenant) => await Promise.resolve(ask(`left ${tenant}`)),
    clear: async (tenant) => await Promise.resolve(ask(`clear ${tenant}`)),
    onFailure: (tenant, error) => void calls.push(`!${tenant} ${(error as Error).message}`),
  });
  return {
    endpoints,
    calls,
    failing,
    bound,
    run: (until: Promise<void>) => void (running = until),
    /** Returns the calls since the last time, after all changes are made */
    next: async (): Promise<string[]> => {
      await endpoints.settled();
      return calls.splice(0);
    },
  };
}

test("removes a tenant's data when no work for it is in progress any more, and not earlier", async () => {
  const { endpoints, run, calls, next } = bed();
  endpoints.open(endpoint("a", "/a"), false);
  await next();
  let end = (): void => {};
  run(new Promise<void>((resolve) => (end = resolve)));
  endpoints.close("a", true);
  await vi.waitFor(() => expect(endpoints.tenants).toEqual([]));
  expect(calls).toEqual([]);
  end();
  expect(await next()).toEqual(["idle a", "left a", "clear a"]);
});

test("serves a tenant that is removed and added at once again, after its removal", async () => {
  const { endpoints, next } = bed();
  endpoints.open(endpoint("a", "/a"), false);
  await next();
  endpoints.close("a", true);
  endpoints.open(endpoint("a", "/a"), false);
  expect(await next()).toEqual(["idle a", "left a", "clear a", "prepare a", "bind /a"]);
});

test("lets two tenants exchange their sockets while builds of one end", async () => {
  const { endpoints, run, bound, calls } = bed();
  endpoints.open(endpoint("a", "/1"), true);
  endpoints.open(endpoint("b", "/2"), true);
  await endpoints.settled();
  let end = (): void => {};
  run(new Promise<void>((resolve) => (end = resolve)));
  endpoints.close("a", false);
  endpoints.open(endpoint("b", "/1"), true);
  endpoints.open(endpoint("a", "/2"), true);
  await vi.waitFor(() => expect(bound.size).toBe(0));
  end();
  await endpoints.settled();
  expect([...bound.keys()].toSorted()).toEqual(["/1", "/2"]);
  expect(calls.filter((line) => line.startsWith("!"))).toEqual([]);
});

test("reports a tenant that cannot be served once, and retries with its latest settings", async () => {
  const { endpoints, failing, next, bound } = bed();
  failing.add("bind /a");
  endpoints.open(endpoint("a", "/a"), true);
  expect(await next()).toEqual(["prepare a", "bind /a", "!a bind /a fails"]);
  expect(endpoints.tenants).toEqual(["a"]);
  expect(endpoints.sockets).toEqual([]);
  await vi.advanceTimersByTimeAsync(30_000);
  expect(await next()).toEqual(["prepare a", "bind /a"]);
  failing.clear();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(await next()).toEqual(["prepare a", "bind /a"]);
  expect(bound.has("/a")).toBe(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await next()).toEqual([]);
});

test("does not retry a removed tenant, and removes its prepared environment", async () => {
  const { endpoints, failing, next } = bed();
  failing.add("bind /a");
  endpoints.open(endpoint("a", "/a"), false);
  await next();
  endpoints.close("a", true);
  expect(await next()).toEqual(["left a", "clear a"]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await next()).toEqual([]);
});

test("keeps the socket of a tenant whose new limits cannot be set, and retries them", async () => {
  const { endpoints, failing, next, bound } = bed();
  endpoints.open(endpoint("a", "/a"), true);
  await next();
  failing.add("prepare a");
  endpoints.open(endpoint("a", "/a"), true);
  expect(await next()).toEqual(["prepare a", "!a prepare a fails"]);
  expect(bound.has("/a")).toBe(true);
  failing.clear();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(await next()).toEqual(["prepare a"]);
});

test.each([
  ["restores the socket in an operator's folder that was removed and created again", false, ["prepare a", "bind /a"]],
  ["does not wait for a pod's removed folder, whose source reports changes", true, []],
])("%s", async (_, isInTenantsFolder, again) => {
  const { endpoints, bound, failing, next } = bed();
  endpoints.open(endpoint("a", "/a", isInTenantsFolder), !isInTenantsFolder);
  await next();
  failing.add("bind /a");
  bound.get("/a")?.abort();
  expect((await next()).slice(0, 2)).toEqual(["idle a", "left a"]);
  failing.clear();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(await next()).toEqual(again);
});

test("refuses a socket of another tenant", async () => {
  const { endpoints, next } = bed();
  endpoints.open(endpoint("a", "/a"), true);
  await next();
  endpoints.open(endpoint("b", "/a"), true);
  expect(await next()).toEqual(["prepare b", "!b the tenant b cannot have the socket /a: it belongs to the tenant a"]);
});

test("closes all sockets at the end, and removes nothing", async () => {
  const { endpoints, bound, next } = bed();
  endpoints.open(endpoint("a", "/a"), false);
  await next();
  await endpoints[Symbol.asyncDispose]();
  expect(await next()).toEqual(["idle a"]);
  expect(bound.size).toBe(0);
});
