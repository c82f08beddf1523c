import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepSteps } from "../../../../src/guard/classic/keep-steps.ts";
import { createOwnImages } from "../../../../src/guard/images/create-own-images.ts";
import type { OwnImages } from "../../../../src/guard/images/own-images.ts";
import type { Ledger } from "../../../../src/guard/ledger/ledger.ts";
import { openLedger } from "../../../../src/guard/ledger/open-ledger.ts";
import { createLimits } from "../../../../src/guard/limits/create-limits.ts";
import type { Limits } from "../../../../src/guard/limits/limits.ts";
import { StandInImages } from "../../../fixtures/guard/images-engine.ts";
import { tenantOf } from "../../../fixtures/guard/tenants.ts";

const signal = new AbortController().signal;
const idOf = (digit: string): string => `sha256:${digit.repeat(64)}`;
const Labels = { "docker-over-ssh.guard.tenant": "a" };

let folder: string;
let engine: StandInImages;
let ledger: Ledger;
let limits: Limits;
let own: OwnImages;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "steps-"));
  engine = new StandInImages();
  ledger = await openLedger(folder);
  limits = createLimits(ledger);
  own = createOwnImages({ engine, ledger, limits });
});
afterEach(async () => {
  await ledger[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** Adds images of 10 bytes, each on top of the previous one. */
function add(...digits: string[]): void {
  for (const [at, digit] of digits.entries())
    engine.images.push({ Id: idOf(digit), RepoTags: [], ParentId: idOf(digits[at - 1] ?? "0"), Size: 10, Labels });
}

/** Reports a failed build that has printed these steps, in this order. */
async function fail(tenant: ReturnType<typeof tenantOf>, printed: readonly string[], built: readonly string[] = []) {
  const output = { built: built.map(idOf), printed: new Set(printed.map((digit) => digit.repeat(12))) };
  return await keepSteps(tenant, { ...output, take: () => {}, failure: undefined }, new Set(), engine, own, signal);
}

const held = async (): Promise<string[]> => (await own.list("a", signal)).map(({ id }) => id);

test.each([
  ["images", { images: 1 }],
  ["bytes", { bytes: 10 }],
])("keeps no steps if they would block the next build: %s", async (_, quotas) => {
  add("1", "2");
  const tenant = tenantOf("a", quotas);
  expect(await fail(tenant, ["1", "2"])).toEqual(new Set());
  expect(await held()).toEqual([]);
  await (await limits.startBuild(tenant))[Symbol.asyncDispose]();
});

test("keeps the steps if there is room for the next build; an image that has become a step no longer counts", async () => {
  const tenant = tenantOf("a", { images: 2, bytes: 20 });
  add("1", "2");
  expect(await fail(tenant, ["1", "2"])).toEqual(new Set([idOf("2"), idOf("1")]));
  expect(await held()).toEqual([idOf("2")]);
  engine.images.push({ Id: idOf("3"), RepoTags: [], ParentId: idOf("2"), Size: 10, Labels });
  expect(await fail(tenant, ["1", "2", "3"])).toEqual(new Set([idOf("3"), idOf("2"), idOf("1")]));
  expect(await held()).toEqual([idOf("3")]);
  await (await limits.startBuild(tenant))[Symbol.asyncDispose]();
});

test("if it does not keep a step, an image under it counts as before, and earlier images of the tenant stay", async () => {
  add("1");
  const name = "guard.internal/a/docker.io/library/stage:v1";
  engine.images.push({ Id: idOf("7"), RepoTags: [name], Size: 10, Labels });
  await own.take(tenantOf("a"), idOf("1"), signal);
  engine.images.push({ Id: idOf("2"), RepoTags: [], ParentId: idOf("1"), Size: 10, Labels });
  expect(await fail(tenantOf("a", { images: 2 }), ["7", "1", "2"], ["7"])).toEqual(new Set([idOf("7")]));
  expect((await held()).toSorted()).toEqual([idOf("1"), idOf("7")]);
  expect(engine.images.map(({ Id }) => Id)).toEqual([idOf("1"), idOf("7")]);
});
