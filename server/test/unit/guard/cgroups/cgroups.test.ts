import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { createCgroups, type Cgroups } from "../../../../src/guard/cgroups/cgroups.ts";
import type { CgroupDriver } from "../../../../src/guard/cgroups/cgroup-driver.ts";
import { findPodCgroup } from "../../../../src/guard/cgroups/find-pod-cgroup.ts";
import type { Resources } from "../../../../src/guard/policy/policy.ts";
import { temporaryFolder } from "../sockets/socket-bed.ts";

/** A stand-in for mounted cgroups: the kernel's files, in plain folders. */
function files(root: string, ...names: readonly string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), "");
  }
}

const unified = (root: string, cgroup: string): void =>
  files(
    root,
    "cgroup.controllers",
    ...["memory.max", "memory.swap.max", "cpu.max", "pids.max"].map((name) => join(cgroup, name)),
    ...cgroup.split("/").map((_, index, parts) => join(...parts.slice(0, index), "cgroup.subtree_control")),
  );

const perController = (root: string, cgroup: string): void =>
  files(
    root,
    ...["memory", "cpu", "pids"].map((name) => `${name}/cgroup.procs`),
    ...["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"].map((name) => join("memory", cgroup, name)),
    ...["cpu.cfs_period_us", "cpu.cfs_quota_us"].map((name) => join("cpu", cgroup, name)),
    join("pids", cgroup, "pids.max"),
  );

const cgroups = (root: string, name: CgroupDriver["name"] = "cgroupfs"): Cgroups =>
  createCgroups({ driver: async () => await Promise.resolve({ name }), data: "/data", root });
/** The cgroup of a guard with that data folder */
const top = `docker-over-ssh-guard/${createHash("sha256").update("/data").digest("hex").slice(0, 12)}`;
const team = (resources: Partial<Resources>) => ({ id: "team", resources: { ulimits: [], ...resources } });

describe("a tenant without limits", () => {
  test.each<[string, CgroupDriver["name"], string | undefined, string | undefined]>([
    ["has no cgroup without a parent", "cgroupfs", undefined, undefined],
    ["has its parent", "cgroupfs", "/kubepods/burstable/pod1", "/kubepods/burstable/pod1"],
    ["has the path of a slice with cgroupfs", "cgroupfs", "a-b.slice", "/a.slice/a-b.slice"],
    ["has the unchanged path with cgroupfs", "cgroupfs", "/a.slice/a-b.slice", "/a.slice/a-b.slice"],
    ["has the slice with systemd", "systemd", "/kubepods.slice/kubepods-pod1.slice", "kubepods-pod1.slice"],
    ["has the name of the slice with systemd", "systemd", "tenants.slice", "tenants.slice"],
  ])("%s", async (_, driver, given, expected) => {
    await expect(cgroups("/nowhere", driver).prepare(team({ cgroupParent: given }))).resolves.toBe(expected);
  });

  test.each([
    ["systemd", "/tenants/a", "a slice, e.g. tenants.slice"],
    ["cgroupfs", "/a/../..", "the path of a cgroup"],
    ["cgroupfs", "/", "the path of a cgroup"],
    ["none", "/a", "docker info"],
  ] as const)("with %s, rejects the parent %s", async (driver, given, expected) => {
    await expect(cgroups("/nowhere", driver).prepare(team({ cgroupParent: given }))).rejects.toMatchObject({
      name: "Failure",
      expected: expect.stringContaining(expected) as string,
    });
  });
});

describe("a tenant with limits", () => {
  const limits = { memory: 64 << 20, cpus: 0.5, pids: 100 };
  const ours = `${top}/team`;

  test("gets its own cgroup, version 2, and its ancestors enable the controllers", async () => {
    await using folder = await temporaryFolder();
    unified(folder.path, ours);
    const made = cgroups(folder.path);
    const written = (name: string): string => readFileSync(join(folder.path, name), "utf8");
    await expect(made.prepare(team(limits))).resolves.toBe(`/${ours}`);
    expect(written(`${ours}/memory.max`)).toBe("67108864");
    expect(written(`${ours}/memory.swap.max`)).toBe("0");
    expect(written(`${ours}/cpu.max`)).toBe("50000 100000");
    expect(written(`${ours}/pids.max`)).toBe("100");
    for (const parent of ["", "docker-over-ssh-guard/", `${top}/`])
      expect(written(`${parent}cgroup.subtree_control`)).toBe("+memory +cpu +pids");
    writeFileSync(join(folder.path, `${ours}/pids.max`), "");
    await made.prepare(team({ memory: 1 }));
    expect(written(`${ours}/pids.max`)).toBe("max");
  });

  test("gets a cgroup below its parent, version 1", async () => {
    await using folder = await temporaryFolder();
    perController(folder.path, `pods/a/${top}/team`);
    await expect(cgroups(folder.path).prepare(team({ ...limits, cgroupParent: "/pods/a" }))).resolves.toBe(
      `/pods/a/${top}/team`,
    );
    const written = (controller: string, name: string): string =>
      readFileSync(join(folder.path, controller, `pods/a/${top}/team`, name), "utf8");
    expect(written("memory", "memory.limit_in_bytes")).toBe("67108864");
    expect(written("memory", "memory.memsw.limit_in_bytes")).toMatch(/^67108864$/);
    expect(written("cpu", "cpu.cfs_quota_us")).toBe("50000");
    expect(written("cpu", "cpu.cfs_period_us")).toBe("100000");
    expect(written("pids", "pids.max")).toBe("100");
  });

  test("is refused if a controller is not mounted, and nothing is created in its place", async () => {
    await using folder = await temporaryFolder();
    files(folder.path, "cpu/cgroup.procs", "pids/cgroup.procs");
    await expect(cgroups(folder.path).prepare(team(limits))).rejects.toMatchObject({
      code: "refused",
      hint: expect.stringContaining("no controller for memory") as string,
    });
    expect(existsSync(join(folder.path, "memory"))).toBe(false);
  });

  test("gets the command that limits a slice, if systemd manages cgroups", async () => {
    await expect(
      cgroups("/nowhere", "systemd").prepare(team({ ...limits, cgroupParent: "t.slice" })),
    ).rejects.toMatchObject({
      hint: "sudo systemctl set-property t.slice MemoryMax=67108864 MemorySwapMax=0 CPUQuota=50% TasksMax=100, and pass it: --cgroup-parent t.slice",
    });
  });
});

test("removes cgroups that a dead guard has left; those of tenants and of another guard stay", async () => {
  await using folder = await temporaryFolder();
  files(folder.path, "memory/cgroup.procs", "devices/cgroup.procs");
  for (const controller of ["memory", "devices"]) {
    mkdirSync(join(folder.path, controller, "docker-over-ssh-guard/another/gone"), { recursive: true });
    for (const tenant of ["team", "gone"]) {
      mkdirSync(join(folder.path, controller, top, tenant, "buildkit/1"), { recursive: true });
    }
  }
  await cgroups(folder.path).sweep(new Set(["team"]));
  for (const controller of ["memory", "devices"]) {
    expect(existsSync(join(folder.path, controller, top, "team/buildkit/1"))).toBe(true);
    expect(existsSync(join(folder.path, controller, top, "gone"))).toBe(false);
    expect(existsSync(join(folder.path, controller, "docker-over-ssh-guard/another/gone"))).toBe(true);
  }
});

describe("the cgroup of a pod", () => {
  const uid = "0a1b2c3d-1111-4222-8333-444455556666";
  const slice = "kubepods-burstable-pod0a1b2c3d_1111_4222_8333_444455556666.slice";

  test.each([
    ["version 1, cgroupfs", "memory", `/kubepods/burstable/pod${uid}`],
    ["version 1, guaranteed", "memory", `/kubepods/pod${uid}`],
    ["version 2, systemd", "", `/kubepods.slice/kubepods-burstable.slice/${slice}`],
    ["version 2, kind", "", `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-${slice}`],
  ])("is found: %s", async (_, tree, path) => {
    await using folder = await temporaryFolder();
    if (tree === "") files(folder.path, "cgroup.controllers");
    const other = path.replaceAll("0a1b2c3d", "ffffffff");
    for (const pod of [other, path]) mkdirSync(join(folder.path, tree, pod), { recursive: true });
    await expect(findPodCgroup(uid, folder.path)).resolves.toBe(path);
  });

  test("is not found in another pod, nor elsewhere", async () => {
    await using folder = await temporaryFolder();
    mkdirSync(join(folder.path, "memory/kubepods/burstable/podffffffff", `pod${uid}`), { recursive: true });
    mkdirSync(join(folder.path, "memory/user/a", `pod${uid}`), { recursive: true });
    await expect(findPodCgroup(uid, folder.path)).resolves.toBeUndefined();
  });
});
