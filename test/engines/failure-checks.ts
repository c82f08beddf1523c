/** For the test file that imports it: checks after each test that a failed or interrupted transfer has left nothing behind. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeAll, beforeEach, expect } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { bed, isOfBed, rememberEngines, staysInCache, unchanged, why } from "./bed.ts";

/** A sleep that no other process runs, so that a leftover one can be identified. */
export const SLEEP = "exec sleep 1000.753";
export const OVER_SSH = ["ssh", "far", "docker-over-ssh pull failing:v1"];

export let folder: string;
let changes: () => Promise<unknown>;
let mayKeep: boolean;

/** Allows the running test to leave partial layers in the resume cache: its transfer is stopped, or its link breaks. */
export function allowPartialLayers(): void {
  mayKeep = true;
}

beforeAll(async () => {
  if (why) return;
  await buildImage(bed.near, "failing:v1", [{ name: "data", bytes: 8_000_000, files: 4 }]);
});

beforeEach(async () => {
  if (why) return;
  folder = mkdtempSync(join(tmpdir(), "dos-failures-"));
  changes = await rememberEngines(bed.near, bed.far);
  mayKeep = false;
});

/** Neither engine holds more than before, and no started process is left. */
afterEach(async () => {
  if (why) return;
  await bed.limitRate(undefined);
  rmSync(folder, { recursive: true });
  // A remote side that has lost its link cleans up independently, and may take a moment longer than the near side.
  await expect.poll(runningProcesses, { timeout: 20_000 }).toEqual([]);
  expect(await changes()).toEqual(unchanged(2));
  const left = spooledFiles().filter((path) => !(mayKeep && KEPT.test(path)));
  // Before the expectation, so that a failed test does not fail those after it.
  rmSync(join(bed.folder, "far", CACHE, "kept"), { recursive: true, force: true });
  expect(left).toEqual([]);
});

const CACHE = "home/.cache/docker-over-ssh";
/** Paths in the resume cache of the receiving machine that no run uses any more. */
const KEPT = /^far\/kept(?:\/[0-9a-f]{64})?$/;

/** Returns the spooled files in the home folders of both machines. */
function spooledFiles(): string[] {
  return ["near", "far"].flatMap((machine) => {
    const cache = join(bed.folder, machine, CACHE);
    const names = existsSync(cache) ? readdirSync(cache, { recursive: true, encoding: "utf8" }) : [];
    return names.filter((name) => !staysInCache(name)).map((name) => join(machine, name));
  });
}

/** Returns the running processes that command lines of this test bed have started. */
async function runningProcesses(): Promise<string[]> {
  const { stdout } = await execa({ reject: false })`pgrep -fa ${"sleep 1000.753|docker-over-ssh.js (push|pull)"}`;
  return stdout.split("\n").filter((line) => line !== "" && isOfBed(line.split(" ")[0] ?? ""));
}
