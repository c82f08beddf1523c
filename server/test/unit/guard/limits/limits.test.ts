import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Ledger } from "../../../../src/guard/ledger/ledger.ts";
import { openLedger } from "../../../../src/guard/ledger/open-ledger.ts";
import { createLimits } from "../../../../src/guard/limits/create-limits.ts";
import { tenantOf } from "../../../fixtures/guard/tenants.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let folder: string;
let ledger: Ledger;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "limits-"));
  ledger = await openLedger(folder);
  vi.useFakeTimers({ now: 1000 * HOUR, toFake: ["setTimeout", "clearTimeout", "Date", "performance"] });
});
afterEach(async () => {
  vi.useRealTimers();
  await ledger[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test("runs as many simultaneous builds as the quota allows, for each tenant", async () => {
  await using limits = createLimits(ledger);
  const [a, b] = [tenantOf("a", { builds: 2 }), tenantOf("b", { builds: 2 })];
  await using _ = await limits.startBuild(a);
  {
    await using __ = await limits.startBuild(a);
    await expect(limits.startBuild(a)).rejects.toMatchObject({ rule: "quota.builds", statusCode: 429 });
    await using ___ = await limits.startBuild(b);
    expect(limits.usage(a).builds).toBe(2);
  }
  await using ____ = await limits.startBuild(a);
});

test("ends a build when the minutes are used up: two simultaneous builds use two in one minute", async () => {
  await using limits = createLimits(ledger);
  const a = tenantOf("a", { buildTime: 10 * MINUTE });
  await using one = await limits.startBuild(a);
  await using two = await limits.startBuild(a);
  vi.advanceTimersByTime(5 * MINUTE - 1000);
  expect(one.signal.aborted).toBe(false);
  vi.advanceTimersByTime(1001);
  expect(one.signal.reason).toMatchObject({ rule: "quota.build-time", statusCode: 429 });
  expect(two.signal.aborted).toBe(true);
  // The hour of this build counts for 23 more.
  await expect(limits.startBuild(a)).rejects.toMatchObject({ rule: "quota.build-time", retryAfter: 24 * 3600 - 300 });
});

test("counts minutes for 24 hours, even if the guard was killed while the build ran", async () => {
  const a = tenantOf("a", { buildTime: 10 * MINUTE });
  const killed = createLimits(ledger);
  await killed.startBuild(a);
  vi.advanceTimersByTime(6 * MINUTE);
  await vi.waitFor(() => expect(ledger.read("a").hours).toEqual([{ hour: 1000, buildTime: 6 * MINUTE, pushBytes: 0 }]));
  killed.forget("a");
  {
    await using limits = createLimits(ledger);
    expect(limits.usage(a).buildTime).toBe(6 * MINUTE);
    vi.advanceTimersByTime(23 * HOUR);
    const build = await limits.startBuild(a);
    vi.advanceTimersByTime(4 * MINUTE + 1000);
    expect(build.signal.reason).toMatchObject({
      message: expect.stringContaining("more is available at 1970-02-12 16:00 UTC") as string,
    });
    await build[Symbol.asyncDispose]();
    vi.advanceTimersByTime(HOUR);
    expect(limits.usage(a).buildTime).toBeLessThan(5 * MINUTE);
    await using _ = await limits.startBuild(a);
  }
});

test("counts bytes of pushes until they are used up, and records them", async () => {
  const a = tenantOf("a", { pushBytes: 1000 });
  {
    await using limits = createLimits(ledger);
    limits.countPushed(a, 900);
    expect(() => limits.countPushed(a, 101)).toThrow(
      expect.objectContaining({ rule: "quota.push-bytes", retryAfter: 24 * 3600 }),
    );
    limits.countPushed(tenantOf("b"), 1e12);
  }
  expect(ledger.read("a").hours).toEqual([{ hour: 1000, buildTime: 0, pushBytes: 1001 }]);
  await using limits = createLimits(ledger);
  expect(() => limits.countPushed(a, 1)).toThrow(expect.objectContaining({ statusCode: 429 }));
});

test("keeps the usage in memory if the ledger cannot be written", async () => {
  const change = vi.spyOn(ledger, "change").mockRejectedValueOnce(new Error("full"));
  const a = tenantOf("a");
  {
    await using limits = createLimits(ledger);
    limits.countPushed(a, 5);
    await vi.waitFor(() => expect(change).toHaveBeenCalledTimes(1));
    expect(limits.usage(a).pushBytes).toBe(5);
    limits.countPushed(a, 5);
  }
  expect(ledger.read("a").hours).toMatchObject([{ pushBytes: 10 }]);
});

test("starts no build for a tenant with its maximum number of images or bytes", async () => {
  await using limits = createLimits(ledger);
  const [few, small] = [tenantOf("few", { images: 2 }), tenantOf("small", { bytes: 1000 })];
  expect(() => limits.checkImages(few, 3, 0)).toThrow(expect.objectContaining({ rule: "quota.images" }));
  limits.reportImages("few", { images: 2, bytes: 0 });
  await expect(limits.startBuild(few)).rejects.toMatchObject({ rule: "quota.images" });
  limits.reportImages("few", { images: 1, bytes: 0 });
  await using _ = await limits.startBuild(few);
  expect(() => limits.checkImages(small, 1, 1001)).toThrow(expect.objectContaining({ rule: "quota.bytes" }));
  await expect(limits.startBuild(small)).rejects.toMatchObject({ rule: "quota.bytes" });
});

test("a tenant is idle when its last build has ended, or after some time", async () => {
  await using limits = createLimits(ledger);
  const [a, b] = [tenantOf("a"), tenantOf("b")];
  await limits.idle("a", MINUTE);
  const builds = [await limits.startBuild(a), await limits.startBuild(a)];
  const state = { isIdle: false };
  const idle = limits.idle("a", MINUTE).then(() => (state.isIdle = true));
  await limits.idle("b", MINUTE);
  await builds[0]?.[Symbol.asyncDispose]();
  expect(state.isIdle).toBe(false);
  await builds[1]?.[Symbol.asyncDispose]();
  await idle;
  await using _ = await limits.startBuild(b);
  const late = limits.idle("b", MINUTE);
  vi.advanceTimersByTime(MINUTE);
  await late;
});
