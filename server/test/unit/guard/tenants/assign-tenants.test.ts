import { expect, test } from "vitest";
import { assignTenants } from "../../../../src/guard/tenants/assign-tenants.ts";
import { configuredTenants } from "../../../../src/guard/tenants/listed-tenants.ts";
import type { ListedTenant } from "../../../../src/guard/settings.ts";
import { DEFAULTS, follow } from "./changes-bed.ts";

/** Returns two sources whose tenants can be set. */
async function two() {
  const lists: ListedTenant[][] = [[], []];
  const [first, second] = assignTenants(
    lists.map((_, index) =>
      configuredTenants(`${index}.json`, async () => await Promise.resolve(lists[index] ?? []), DEFAULTS),
    ),
  );
  if (first === undefined || second === undefined) throw new Error("two sources are required");
  const followed = [follow(first), follow(second)] as const;
  await Promise.all(followed.map(async ({ ready }) => await ready));
  const set = async (index: 0 | 1, ...pairs: string[]): Promise<string[]> => {
    lists[index] = pairs.map((pair) => ({ id: pair.split("@")[0] ?? "", socket: pair.split("@")[1] ?? "" }));
    for (const { reports } of followed) reports.length = 0;
    await [first, second][index]?.reload?.();
    return followed.flatMap(({ reports }, of) => reports.map((line) => `${of}${line}`));
  };
  return set;
}

test("keeps a tenant for the source that names it, and gives it to another after its removal", async () => {
  const set = await two();
  expect(await set(0, "a@/a")).toEqual(["0+a /a"]);
  expect(await set(1, "a@/other", "b@/a", "c@/c")).toEqual([
    "1!--config 1.json names the tenant a, which --config 0.json already has: the later tenant gets no socket until the earlier one is removed",
    "1!--config 1.json names /a, for the tenant b, which --config 0.json already has: the later tenant gets no socket until the earlier one is removed",
    "1+c /c",
  ]);
  expect(await set(0)).toEqual(["0-a", "1+a /other", "1+b /a"]);
  expect(await set(1, "c@/c")).toEqual(["1-a", "1-b"]);
});

test("does not report a waiting tenant that is removed", async () => {
  const set = await two();
  await set(0, "a@/a");
  await set(1, "a@/other");
  expect(await set(1)).toEqual([]);
  expect(await set(0)).toEqual(["0-a"]);
});

test("does not report the same tenant with the same socket", async () => {
  const set = await two();
  await set(0, "a@/a");
  expect(await set(1, "a@/a")).toEqual([]);
});

test("lets a tenant change its socket, but not to that of another", async () => {
  const set = await two();
  await set(0, "a@/a");
  await set(1, "b@/b");
  expect(await set(0, "a@/new")).toEqual(["0+a /new"]);
  expect(await set(0, "a@/b")).toEqual([expect.stringContaining("0!--config 0.json names /b"), "0-a"]);
});
