import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { Failure, messageOf } from "docker-over-ssh/builds";
import type { Resources } from "../policy/policy.ts";
import type { Tenant } from "../tenant.ts";
import type { CgroupDriver } from "./cgroup-driver.ts";
import { parentFor } from "./cgroup-path.ts";
import { openHierarchy, type CgroupLimits } from "./hierarchy.ts";

/** The cgroups in which tenants' builds run. */
export interface Cgroups {
  /**
   * Returns the cgroup that is the parent of a tenant's steps, in the engine's format; undefined if the tenant has
   * neither a parent nor a limit. It is the tenant's own parent, or a new cgroup with the tenant's limits,
   * `docker-over-ssh-guard/GUARD/TENANT` below that parent or `/`: several tenants may share a parent, and a host may
   * run several guards. A repeated call changes the limits.
   *
   * @throws Failure with a hint, if a cgroup cannot be created
   */
  prepare(tenant: Pick<Tenant, "id" | "resources">): Promise<string | undefined>;
  /**
   * Removes the cgroup that was created for a tenant. Called when its builds have ended; a cgroup that still has
   * processes is removed by the next sweep.
   */
  remove(tenant: Tenant["id"]): Promise<void>;
  /** Removes the cgroups of absent tenants that a killed guard has left. */
  sweep(tenants: ReadonlySet<Tenant["id"]>): Promise<void>;
}

export interface CgroupDependencies {
  driver: () => Promise<CgroupDriver>;
  /** The data folder of the guard: it prevents guards of one host from sweeping each other's cgroups. */
  data: string;
  /** Mount point of the cgroups */
  root?: string | undefined;
}

const OURS = "docker-over-ssh-guard";

export function createCgroups({ driver, data, root = "/sys/fs/cgroup" }: CgroupDependencies): Cgroups {
  const top = `/${OURS}/${createHash("sha256").update(resolve(data)).digest("hex").slice(0, 12)}`;
  const made = new Map<string, string>();
  const make = async (id: string, cgroup: string, limits: CgroupLimits): Promise<string> => {
    try {
      await (await openHierarchy(root)).create(cgroup, limits);
    } catch (error) {
      throw notMade(cgroup, root, error);
    }
    made.set(id, cgroup);
    return cgroup;
  };
  return {
    async prepare({ id, resources }) {
      const { cgroupParent, memory, cpus, pids } = resources;
      const hasLimits = (memory ?? cpus ?? pids) !== undefined;
      if (cgroupParent === undefined && !hasLimits) return undefined;
      const { name } = await driver();
      if (name === "none") throw noCgroups();
      const parent = cgroupParent === undefined ? undefined : parentFor(name, cgroupParent);
      if (!hasLimits) return parent;
      if (name === "systemd") throw sliceOfSystemd(id, resources);
      return await make(id, `${parent ?? ""}${top}/${id}`, { memory, cpus, pids });
    },
    async remove(id) {
      const cgroup = made.get(id);
      if (cgroup === undefined) return;
      made.delete(id);
      await (await openHierarchy(root)).remove(cgroup);
    },
    async sweep(tenants) {
      const hierarchy = await openHierarchy(root);
      const dead = (await hierarchy.children(top)).filter((name) => !tenants.has(name));
      await Promise.all(dead.map(async (name) => await hierarchy.remove(`${top}/${name}`)));
    },
  };
}

function noCgroups(): Failure {
  return new Failure("refused", "the engine has no cgroups, so tenants' builds cannot be limited", {
    expected: "an engine whose `docker info` prints Cgroup Driver: cgroupfs or systemd",
    hint: "Omit --memory, --cpus, --pids and --cgroup-parent, or use an engine that runs as root.",
  });
}

/** Only systemd can set the limits of slices: it would reset limits that other programs write. */
function sliceOfSystemd(id: string, { memory, cpus, pids, cgroupParent }: Resources): Failure {
  const slice =
    cgroupParent === undefined ? `tenant_${id.replaceAll("-", "_")}.slice` : parentFor("systemd", cgroupParent);
  const properties = [
    memory === undefined ? [] : [`MemoryMax=${memory}`, "MemorySwapMax=0"],
    cpus === undefined ? [] : [`CPUQuota=${Math.max(1, Math.round(cpus * 100))}%`],
    pids === undefined ? [] : [`TasksMax=${pids}`],
  ].flat();
  return new Failure("refused", `systemd manages the engine's cgroups, and must set the limits of the tenant ${id}`, {
    expected: "a slice with limits of its own, and a tenant without memory, cpus and pids",
    hint: `sudo systemctl set-property ${slice} ${properties.join(" ")}, and pass it: --cgroup-parent ${slice}`,
  });
}

function notMade(cgroup: string, root: string, error: unknown): Failure {
  const { code } = error as NodeJS.ErrnoException;
  const hints: Readonly<Record<string, string>> = {
    EACCES: `Run the guard as root, or let root create ${cgroup} and chown it to this user.`,
    EPERM: `Run the guard as root, or let root create ${cgroup} and chown it to this user.`,
    EROFS: `In a container, mount the host's ${root} writable: -v ${root}:${root}:rw --cgroupns host`,
    EBUSY:
      "A cgroup with processes of its own cannot have children with limits: name one without processes, with --cgroup-parent.",
    ENOENT:
      "The kernel has no controller for memory, cpu or pids there: enable it (cgroup_enable=memory on the kernel's command line).",
  };
  return new Failure("refused", `the cgroup ${cgroup} cannot be created: ${messageOf(error)}`, {
    expected: `a writable ${root}, with the controllers memory, cpu and pids`,
    hint:
      hints[code ?? ""] ?? "Omit --memory, --cpus and --pids, or pass a cgroup that has these limits: --cgroup-parent",
    cause: error,
  });
}
