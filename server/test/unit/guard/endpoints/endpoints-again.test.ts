import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Endpoints, type Socket } from "../../../../src/guard/endpoints/endpoints.ts";
import type { TenantEndpoint } from "../../../../src/guard/tenant.ts";
import { tenantOf } from "../../../fixtures/guard/tenants.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

const endpoint = (id: string, socket: string, isInTenantsFolder = false): TenantEndpoint => ({
  tenant: tenantOf(id),
  socket,
  isInTenantsFolder,
});

/** Endpoints whose parts write down what they are asked for, and fail while `failing` names it. */
function bed() {
  const told: string[] = [];
  const failing = new Set<string>();
  const bound = new Map<string, AbortController>();
  /** What `idle` waits for */
  let running = Promise.resolve();
  const ask = (what: string): void => {
    told.push(what);
    if (failing.has(what)) throw new Error(`${what} fails`);
  };
  const endpoints = new Endpoints({
    openFront: () => ({ take: () => {}, close: async () => await Promise.resolve() }),
    async bind({ socket }): Promise<Socket> {
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
      told.push(`idle ${tenant}`);
    },
    left: async (tenant) => await Promise.resolve(ask(`left ${tenant}`)),
    clear: async (tenant) => await Promise.resolve(ask(`clear ${tenant}`)),
    onFailure: (tenant, error) => void told.push(`!${tenant} ${(error as Error).message}`),
  });
  return {
    endpoints,
    told,
    failing,
    bound,
    run: (until: Promise<void>) => void (running = until),
    /** What was told since the last time, when all changes are made */
    next: async (): Promise<string[]> => {
      await endpoints.settled();
      return told.splice(0);
    },
  };
}

test("what a tenant has is removed when nothing runs for it any more, and not before", async () => {
  const { endpoints, run, told, next } = bed();
  endpoints.open(endpoint("a", "/a"), false);
  await next();
  let end = (): void => {};
  run(new Promise<void>((resolve) => (end = resolve)));
  endpoints.close("a", true);
  await vi.waitFor(() => expect(endpoints.tenants).toEqual([]));
  expect(told).toEqual([]);
  end();
  expect(await next()).toEqual(["idle a", "left a", "clear a"]);
});

test("a tenant that goes and comes at once is served after it was removed", async () => {
  const { endpoints, next } = bed();
  endpoints.open(endpoint("a", "/a"), false);
  await next();
  endpoints.close("a", true);
  endpoints.open(endpoint("a", "/a"), false);
  expect(await next()).toEqual(["idle a", "left a", "clear a", "prepare a", "bind /a"]);
});

test("two tenants exchange their sockets while builds of one end", async () => {
  const { endpoints, run, bound, told } = bed();
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
  expect(told.filter((line) => line.startsWith("!"))).toEqual([]);
});

test("a tenant that cannot be served is told once, and tried again with what it was asked with", async () => {
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

test("one that has gone is not tried again, and what was prepared for it is removed", async () => {
  const { endpoints, failing, next } = bed();
  failing.add("bind /a");
  endpoints.open(endpoint("a", "/a"), false);
  await next();
  endpoints.close("a", true);
  expect(await next()).toEqual(["left a", "clear a"]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await next()).toEqual([]);
});

test("a tenant whose new limits cannot be set keeps its socket, and they are tried again", async () => {
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
  ["an operator's folder that goes and comes back has its socket again", false, ["prepare a", "bind /a"]],
  ["a pod's folder that goes is not waited for: its source tells more", true, []],
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

test("a socket of another tenant is refused", async () => {
  const { endpoints, next } = bed();
  endpoints.open(endpoint("a", "/a"), true);
  await next();
  endpoints.open(endpoint("b", "/a"), true);
  expect(await next()).toEqual(["prepare b", "!b /a is the socket of the tenant a"]);
});

test("the end closes all sockets and removes nothing", async () => {
  const { endpoints, bound, next } = bed();
  endpoints.open(endpoint("a", "/a"), false);
  await next();
  await endpoints[Symbol.asyncDispose]();
  expect(await next()).toEqual(["idle a"]);
  expect(bound.size).toBe(0);
});
