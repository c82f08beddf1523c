import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { newRunId } from "../../../src/run/run-id.ts";
import { holdLock } from "../../../src/run/lock.ts";

/** ms of a test's silence, and a silence that a test never waits for. */
const SHORT = 100;
const NEVER = 1e9;

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "hold-lock-"));
  path = join(folder, "server");
});
afterEach(async () => await rm(folder, { recursive: true }));

/** A run of another host, which cannot be checked from here. */
const elsewhere = (): string => newRunId().replace(/^[0-9a-f]{8}/, "00000000");

test("a lock is held until it is disposed of, and another run is refused at once", async () => {
  {
    await using held = await holdLock(path, newRunId(), NEVER);
    expect(await held?.beat()).toBe(true);
    expect(await holdLock(path, newRunId(), NEVER)).toBeUndefined();
  }
  expect(await readdir(folder)).toEqual([]);
  await using again = await holdLock(path, newRunId(), NEVER);
  expect(again).toBeDefined();
});

test("the lock of a killed run is taken over at once, and what it had prepared goes", async () => {
  const dead = newRunId(999_999_999);
  await mkdir(`${path}.lock`);
  await writeFile(join(`${path}.lock`, dead), "");
  await mkdir(`${path}.lock.${dead}.part`);
  await using held = await holdLock(path, newRunId(), NEVER);
  expect(await held?.beat()).toBe(true);
  expect(await readdir(folder)).toEqual(["server.lock"]);
});

test("the lock of another host's run is taken over after its silence, which then finds out", async () => {
  const silent = await holdLock(path, elsewhere(), NEVER);
  await using held = await holdLock(path, newRunId(), SHORT);
  expect(await held?.beat()).toBe(true);
  expect(await silent?.beat()).toBe(false);
  await silent?.[Symbol.asyncDispose]();
  expect(await held?.beat()).toBe(true);
});

test("the lock of another host's run that beats is not taken over", async () => {
  await using living = await holdLock(path, elsewhere(), NEVER);
  const second = holdLock(path, newRunId(), NEVER);
  await wait(50); // so that the second has looked
  while ((await Promise.race([second, wait(20, "waits")])) === "waits") await living?.beat();
  expect(await second).toBeUndefined();
  expect(await readdir(folder)).toEqual(["server.lock"]);
});

test("of several runs that come at the same time, one gets the lock", async () => {
  const held = await Promise.all(Array.from({ length: 20 }, async () => await holdLock(path, newRunId(), NEVER)));
  expect(held.filter((lock) => lock !== undefined)).toHaveLength(1);
  await Promise.all(held.map(async (lock) => await lock?.[Symbol.asyncDispose]()));
  expect(await readdir(folder)).toEqual([]);
});
