import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "docker-over-ssh/builds";
import { parentFor } from "../cgroups/cgroup-path.ts";
import { Refusal } from "../refusal.ts";

/** The files into which a program writes its process ID to enter a cgroup. Disposing removes the cgroup that was created for it. */
export interface CgroupFiles extends AsyncDisposable {
  readonly files: readonly string[];
  /** Returns whether the kernel has killed a process in the cgroup since it was opened, because the cgroup has no memory left */
  ranOutOfMemory(): boolean;
}

/**
 * Prepares a cgroup for the programs of one call. In cgroup v2, it is a new child, because a cgroup whose children have controllers, like that of a pod,
 * accepts no processes. In v1, it is the cgroup itself, in every hierarchy that has it.
 *
 * @param parent e.g. `/kubepods/burstable/pod1234`, or `tenants.slice` in systemd's notation
 * @throws Refusal `cgroup.unavailable`, because a build must not run without its limits
 */
export async function openCgroupFiles(parent: string, id: string, root = "/sys/fs/cgroup"): Promise<CgroupFiles> {
  try {
    const path = parentFor("cgroupfs", parent);
    if (existsSync(join(root, "cgroup.controllers"))) return await openChild(join(root, path), id);
    const files = await filesOfHierarchies(root, path);
    if (files.length === 0) throw new Error("no hierarchy has it");
    const isFull = killsSince(join(root, "memory", path, "memory.oom_control"));
    return { files, ranOutOfMemory: isFull, async [Symbol.asyncDispose]() {} };
  } catch (error) {
    throw new Refusal("cgroup.unavailable", `the cgroup ${parent} of this tenant cannot be used: ${messageOf(error)}`, {
      statusCode: 500,
      cause: error,
    });
  }
}

async function openChild(parent: string, id: string): Promise<CgroupFiles> {
  await stat(parent);
  const child = join(parent, `buildah-${id}`);
  await mkdir(child);
  return {
    files: [join(child, "cgroup.procs")],
    ranOutOfMemory: killsSince(join(child, "memory.events")),
    async [Symbol.asyncDispose]() {
      await rmdir(child).catch(() => {}); // fails while a process is ending; the tenant's cgroup is removed as a whole later
    },
  };
}

/** Reads the kernel's count of `oom_kill`. Returns a function that returns whether it has grown since. */
function killsSince(file: string): () => boolean {
  const before = killsIn(file);
  return () => killsIn(file) > before;
}

function killsIn(file: string): number {
  if (!existsSync(file)) return 0;
  return Number(/^oom_kill (\d+)$/m.exec(readFileSync(file, "utf8"))?.[1] ?? 0);
}

async function filesOfHierarchies(root: string, path: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(root)) {
    const folder = join(root, name, path);
    if (!existsSync(join(folder, "cgroup.procs"))) continue;
    // A cgroup without processors accepts no processes.
    const cpus = join(folder, "cpuset.cpus");
    if (existsSync(cpus) && readFileSync(cpus, "utf8").trim() === "") continue;
    found.push(join(folder, "cgroup.procs"));
  }
  return found;
}
