import { mkdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openFolder } from "../../../../src/guard/sockets/folder.ts";
import { isTenantId } from "../../../../src/guard/tenant.ts";
import { temporaryFolder } from "./socket-bed.ts";

test("detects a folder that was removed, or replaced by another", async () => {
  await using parent = await temporaryFolder();
  const path = join(parent.path, "run");
  for (const followsLink of [true, false]) {
    mkdirSync(path);
    await using folder = await openFolder(path, followsLink);
    expect(folder.isInPlace()).toBe(true);
    rmSync(path, { recursive: true });
    expect(folder.isInPlace()).toBe(false);
  }
  mkdirSync(path);
  await using folder = await openFolder(path, false);
  renameSync(path, `${path}-before`);
  mkdirSync(path);
  expect(folder.isInPlace()).toBe(false);
});

test("accepts a link as a folder of an operator, and not of a tenant", async () => {
  await using parent = await temporaryFolder();
  const path = join(parent.path, "link");
  symlinkSync(parent.path, path);
  await using folder = await openFolder(path, true);
  expect(folder.isInPlace()).toBe(true);
  await expect(openFolder(path, false)).rejects.toMatchObject({ code: "usage" });
});

test.each([
  ["team-a", true],
  ["a".repeat(63), true],
  ["a".repeat(64), false],
  ["a--b", false],
  ["-a", false],
  ["A", false],
  ["a/b", false],
  ["..", false],
  ["", false],
])("%j is the ID of a tenant: %s", (text, expected) => expect(isTenantId(text)).toBe(expected));
