import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Seats, type Socket } from "../../../../src/guard/seats/seats.ts";
import type { SeatedTenant } from "../../../../src/guard/tenant.ts";
import { tenantOf } from "../../../fixtures/guard/tenants.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

const seated = (id: string, socket: string, isInTenantsFolder = false): SeatedTenant => ({
  tenant: tenantOf(id),
  socket,
  isInTenantsFolder,
});

/** Seats whose parts write down what they are asked for, and fail while `failing` names it. */
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
  const seats = new Seats({
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
    seats,
    told,
    failing,
    bound,
    run: (until: Promise<void>) => void (running = until),
    /** What was told since the last time, when all changes are made */
    next: async (): Promise<string[]> => {
      await seats.settled();
      return told.splice(0);
    },
  };
}

test("what a tenant has is removed when nothing runs for it any more, and not before", async () => {
  const { seats, run, told, next } = bed();
  seats.seat(seated("a", "/a"), false);
  await next();
  let end = (): void => {};
  run(new Promise<void>((resolve) => (end = resolve)));
  seats.leave("a", true);
  await vi.waitFor(() => expect(seats.tenants).toEqual([]));
  expect(told).toEqual([]);
  end();
  expect(await next()).toEqual(["idle a", "left a", "clear a"]);
});

test("a tenant that goes and comes at once is seated after it was removed", async () => {
  const { seats, next } = bed();
  seats.seat(seated("a", "/a"), false);
  await next();
  seats.leave("a", true);
  seats.seat(seated("a", "/a"), false);
  expect(await next()).toEqual(["idle a", "left a", "clear a", "prepare a", "bind /a"]);
});

test("two tenants exchange their sockets while builds of one end", async () => {
  const { seats, run, bound, told } = bed();
  seats.seat(seated("a", "/1"), true);
  seats.seat(seated("b", "/2"), true);
  await seats.settled();
  let end = (): void => {};
  run(new Promise<void>((resolve) => (end = resolve)));
  seats.leave("a", false);
  seats.seat(seated("b", "/1"), true);
  seats.seat(seated("a", "/2"), true);
  await vi.waitFor(() => expect(bound.size).toBe(0));
  end();
  await seats.settled();
  expect([...bound.keys()].toSorted()).toEqual(["/1", "/2"]);
  expect(told.filter((line) => line.startsWith("!"))).toEqual([]);
});

test("a tenant that cannot be served is told once, and tried again with what it was asked with", async () => {
  const { seats, failing, next, bound } = bed();
  failing.add("bind /a");
  seats.seat(seated("a", "/a"), true);
  expect(await next()).toEqual(["prepare a", "bind /a", "!a bind /a fails"]);
  expect(seats.tenants).toEqual(["a"]);
  expect(seats.sockets).toEqual([]);
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
  const { seats, failing, next } = bed();
  failing.add("bind /a");
  seats.seat(seated("a", "/a"), false);
  await next();
  seats.leave("a", true);
  expect(await next()).toEqual(["left a", "clear a"]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await next()).toEqual([]);
});

test("a tenant whose new limits cannot be set keeps its socket, and they are tried again", async () => {
  const { seats, failing, next, bound } = bed();
  seats.seat(seated("a", "/a"), true);
  await next();
  failing.add("prepare a");
  seats.seat(seated("a", "/a"), true);
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
  const { seats, bound, failing, next } = bed();
  seats.seat(seated("a", "/a", isInTenantsFolder), !isInTenantsFolder);
  await next();
  failing.add("bind /a");
  bound.get("/a")?.abort();
  expect((await next()).slice(0, 2)).toEqual(["idle a", "left a"]);
  failing.clear();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(await next()).toEqual(again);
});

test("a socket of another tenant is refused", async () => {
  const { seats, next } = bed();
  seats.seat(seated("a", "/a"), true);
  await next();
  seats.seat(seated("b", "/a"), true);
  expect(await next()).toEqual(["prepare b", "!b /a is the socket of the tenant a"]);
});

test("the end closes all sockets and removes nothing", async () => {
  const { seats, bound, next } = bed();
  seats.seat(seated("a", "/a"), false);
  await next();
  await seats[Symbol.asyncDispose]();
  expect(await next()).toEqual(["idle a"]);
  expect(bound.size).toBe(0);
});
