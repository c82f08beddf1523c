import { lstat, mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CPU_PERIOD, MIN_CPU_QUOTA } from "docker-over-ssh/builds";
import type { Resources } from "../policy/policy.ts";

export type CgroupLimits = Pick<Resources, "memory" | "cpus" | "pids">;

/** A mounted hierarchy of cgroups. */
export interface Hierarchy {
  version: 1 | 2;
  /**
   * Creates a cgroup with limits, below an existing one or `/`. Missing limits mean unlimited. Rejects with the file
   * system's errors.
   */
  create(cgroup: string, limits: CgroupLimits): Promise<void>;
  /** Removes a cgroup and its descendants. Resolves with false if processes are still in it after a moment. */
  remove(cgroup: string): Promise<boolean>;
  /** Returns the names of a cgroup's children */
  children(cgroup: string): Promise<string[]>;
}

/** Processes of an aborted build end within a moment. */
const REMOVE_TRIES = 20;
const REMOVE_PAUSE = 100;

/** Detects the version of the cgroups that are mounted at a folder such as `/sys/fs/cgroup`. */
export async function openHierarchy(root: string): Promise<Hierarchy> {
  return (await exists(join(root, "cgroup.controllers"))) ? unifiedHierarchy(root) : controllerHierarchies(root);
}

/** Version 2: one tree, in which a cgroup enables the controllers of its children. */
function unifiedHierarchy(root: string): Hierarchy {
  return {
    version: 2,
    async create(cgroup, { memory, cpus, pids }) {
      const parts = cgroup.split("/").filter((part) => part !== "");
      let parent = root;
      for (const part of parts) {
        await giveControllers(parent);
        parent = join(parent, part);
        await mkdir(parent).catch(ignoreExisting);
      }
      await write(join(parent, "memory.max"), limit(memory));
      await writeIfThere(join(parent, "memory.swap.max"), memory === undefined ? "max" : "0");
      await write(join(parent, "cpu.max"), `${cpus === undefined ? "max" : cpuQuota(cpus)} ${CPU_PERIOD}`);
      await write(join(parent, "pids.max"), limit(pids));
    },
    remove: async (cgroup) => await removeTree([join(root, cgroup)]),
    children: async (cgroup) => await foldersIn(join(root, cgroup)),
  };
}

async function giveControllers(cgroup: string): Promise<void> {
  const file = join(cgroup, "cgroup.subtree_control");
  const has = (await readFile(file, "utf8")).split(/\s+/);
  const missing = ["memory", "cpu", "pids"].filter((name) => !has.includes(name));
  if (missing.length > 0) await write(file, missing.map((name) => `+${name}`).join(" "));
}

/** Version 1: a tree for each controller. Engines create a container's cgroup in all of them. */
function controllerHierarchies(root: string): Hierarchy {
  const all = async (cgroup: string): Promise<string[]> =>
    (await foldersIn(root)).map((controller) => join(root, controller, cgroup));
  return {
    version: 1,
    async create(cgroup, { memory, cpus, pids }) {
      const inMemory = await inController(root, "memory", cgroup);
      const inCpu = await inController(root, "cpu", cgroup);
      const inPids = await inController(root, "pids", cgroup);
      for (const folder of [inMemory, inCpu, inPids]) await mkdir(folder, { recursive: true });
      // The limit with swap must never be lower than that of memory, so it is removed during the change.
      const withSwap = join(inMemory, "memory.memsw.limit_in_bytes");
      await writeIfThere(withSwap, "-1");
      await write(join(inMemory, "memory.limit_in_bytes"), `${memory ?? -1}`);
      await writeIfThere(withSwap, `${memory ?? -1}`);
      await write(join(inCpu, "cpu.cfs_period_us"), `${CPU_PERIOD}`);
      await write(join(inCpu, "cpu.cfs_quota_us"), `${cpus === undefined ? -1 : cpuQuota(cpus)}`);
      await write(join(inPids, "pids.max"), limit(pids));
    },
    remove: async (cgroup) => await removeTree(await all(cgroup)),
    async children(cgroup) {
      const found = await Promise.all((await all(cgroup)).map(foldersIn));
      return [...new Set(found.flat())];
    },
  };
}

/** Rejects with ENOENT if the controller is not mounted: a folder in its place would limit nothing. */
async function inController(root: string, name: string, cgroup: string): Promise<string> {
  await lstat(join(root, name, "cgroup.procs"));
  return join(root, name, cgroup);
}

const limit = (value: number | undefined): string => (value === undefined ? "max" : `${value}`);
const cpuQuota = (cpus: number): number => Math.max(MIN_CPU_QUOTA, Math.round(cpus * CPU_PERIOD));

async function removeTree(folders: readonly string[]): Promise<boolean> {
  for (let tries = REMOVE_TRIES; tries > 0; tries--) {
    const removed = await Promise.all(folders.map(removeOnce));
    if (removed.every(Boolean)) return true;
    await sleep(REMOVE_PAUSE);
  }
  return false;
}

/** Removes the folders of a cgroup, the innermost first. Its files disappear with them. */
async function removeOnce(folder: string): Promise<boolean> {
  const inside = await Promise.all((await foldersIn(folder)).map((name) => removeOnce(join(folder, name))));
  if (!inside.every(Boolean)) return false;
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/** Never creates the file: if it is missing, the controller is missing. */
async function write(file: string, text: string): Promise<void> {
  await writeFile(file, text, { flag: "r+" });
}

async function writeIfThere(file: string, text: string): Promise<void> {
  if (await exists(file)) await write(file, text);
}

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}
