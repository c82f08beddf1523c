import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import type { Machine } from "./machine.ts";
import { runsFolder } from "./paths.ts";
import { isAlive, type ProcessIdentity } from "./processes.ts";
import { systemPath } from "./programs.ts";
import { deadRun, type Run } from "./run.ts";

/**
 * Removes all that a run has made. Synchronous, so that a process can do it as its very last act.
 * Whatever runs or is mounted in its machines, and the wire between them, goes with their first
 * processes; the near engine's bridge, the control groups and the files are left to us.
 */
export function removeRun({ name, folder }: Run): void {
  if (!existsSync(folder)) return;
  const machines = readdirSync(folder)
    .map((entry) => join(folder, entry, "machine.json"))
    .filter((file) => existsSync(file))
    .map((file) => JSON.parse(readFileSync(file, "utf8")) as Machine);
  for (const { init } of machines) kill(init);
  spawnSync("ip", ["link", "delete", `${name}b`], { env: { PATH: systemPath() } });
  removeControlGroups(name);
  spawnSync("rm", ["-rf", "--one-file-system", folder]);
}

/** Removes what earlier runs have left whose process was killed. */
export function removeLeftovers(): void {
  for (const entry of readdirSync(runsFolder)) {
    const run = deadRun(entry);
    if (run) removeRun(run);
  }
}

/** Returns when it is gone, and with it, as it is the first of its namespace, all others there. */
function kill(init: ProcessIdentity): void {
  const deadline = Date.now() + 10_000;
  while (isAlive(init) && Date.now() < deadline) {
    process.kill(init.pid, "SIGKILL");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}

/** They lie in one hierarchy (version 2) or in one for each controller (version 1), or both. */
function removeControlGroups(name: string): void {
  const root = "/sys/fs/cgroup";
  if (!existsSync(root)) return;
  for (const hierarchy of [root, ...folders(root)]) {
    if (existsSync(join(hierarchy, name))) removeControlGroup(join(hierarchy, name));
  }
}

function removeControlGroup(folder: string): void {
  for (const child of folders(folder)) removeControlGroup(child);
  try {
    rmdirSync(folder);
  } catch {
    // An empty group harms nobody; the next run tries again when the files are there still.
  }
}

function folders(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(folder, entry.name));
}
