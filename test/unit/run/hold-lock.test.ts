import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { newRunId } from "../../../src/run/run-id.ts";
import { holdLock } from "../../../src/run/lock.ts";

/** ms of silence that a test waits for, and ms of silence that no test waits for. */
const SHORT = 100;
const NEVER = 1e9;

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "hold-lock-"));
  path = join(folder, "server");
});
afterEach(async () => await rm(folder, { recursive: true }));

/** A run on another host, which cannot be checked from this host. */
const elsewhere = (): string => newRunId().replace(/^[0-9a-f]{8}/, "00000000");

test("holds a lock until it is disposed of, and rejects another run immediately", async () => {
  {
    await using held = await holdLock(path, newRunId(), NEVER);
    expect(await held?.beat()).toBe(true);
    expect(await holdLock(path, newRunId(), NEVER)).toBeUndefined();
  }
  expect(await readdir(folder)).toEqual([]);
  await using again = await holdLock(path, newRunId(), NEVER);
  expect(again).toBeDefined();
});

test("takes over the lock of a killed run immediately, and removes its partial files", async () => {
  const dead = newRunId(999_999_999);
  await mkdir(`${path}.lock`);
  await writeFile(join(`${path}.lock`, dead), "");
  await mkdir(`${path}.lock.${dead}.part`);
  await using held = await holdLock(path, newRunId(), NEVER);
  expect(await held?.beat()).toBe(true);
  expect(await readdir(folder)).toEqual(["server.lock"]);
});

test("takes over the lock of a run on another host after its silence; that run then notices the loss", async () => {
  const silent = await holdLock(path, elsewhere(), NEVER);
  await using held = await holdLock(path, newRunId(), SHORT);
  expect(await held?.beat()).toBe(true);
  expect(await silent?.beat()).toBe(false);
  await silent?.[Symbol.asyncDispose]();
  expect(await held?.beat()).toBe(true);
});

test("does not take over the lock of a run on another host that beats", async () => {
  await using living = await holdLock(path, elsewhere(), NEVER);
  const second = holdLock(path, newRunId(), NEVER);
  await wait(50); // so that the second run has checked the lock
  while ((await Promise.race([second, wait(20, "waits")])) === "waits") await living?.beat();
  expect(await second).toBeUndefined();
  expect(await readdir(folder)).toEqual(["server.lock"]);
});

test("gives the lock to one of several runs that try at the same time", async () => {
  const held = await Promise.all(Array.from({ length: 20 }, async () => await holdLock(path, newRunId(), NEVER)));
  expect(held.filter((lock) => lock !== undefined)).toHaveLength(1);
  await Promise.all(held.map(async (lock) => await lock?.[Symbol.asyncDispose]()));
  expect(await readdir(folder)).toEqual([]);
});
