import { mkdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { kubeletPods } from "../../../../src/guard/tenants/kubelet-pods.ts";
import { temporaryFolder } from "../sockets/socket-bed.ts";
import { DEFAULTS, follow, type Followed } from "./changes-bed.ts";
import { kubelet, UID, type Kubelet } from "./pods-bed.ts";

const OTHER = "ffffffff-1111-4222-8333-444455556666";

function pods({ path }: Kubelet, cgroupRoot = "/nowhere"): Followed {
  const volume = "docker-socket";
  return follow(kubeletPods({ folder: path, volume, defaults: DEFAULTS, server: undefined, cgroupRoot, interval: 20 }));
}

test("a pod with the volume is a tenant in its cgroup, and is removed for good with the volume", async () => {
  await using folder = await kubelet();
  await using cgroups = await temporaryFolder();
  const cgroupParent = `/kubepods/burstable/pod${UID}`;
  mkdirSync(join(cgroups.path, "memory", cgroupParent), { recursive: true });
  folder.emptyDir(UID);
  folder.emptyDir(OTHER, "other-volume");
  await using found = pods(folder, cgroups.path);
  await found.ready;
  expect(found.reports).toEqual([`+${UID} ${folder.emptyDir(UID)}/docker.sock`]);
  expect(found.endpoints.get(UID)).toMatchObject({
    isInTenantsFolder: true,
    tenant: { labels: { "io.kubernetes.pod.uid": UID }, resources: { cgroupParent } },
  });
  folder.emptyDir(OTHER);
  await vi.waitFor(() => expect(found.reports.slice(1)).toEqual([`+${OTHER} ${folder.emptyDir(OTHER)}/docker.sock`]));
  rmSync(folder.emptyDir(UID), { recursive: true });
  await vi.waitFor(() => expect(found.reports.slice(2)).toEqual([`--${UID}`]));
});

test("rejects a link in the place of the volume", async () => {
  await using folder = await kubelet();
  const path = folder.emptyDir(UID);
  rmSync(path, { recursive: true });
  symlinkSync("/var/run", path);
  await using found = pods(folder);
  await found.ready;
  expect(found.reports).toEqual([expect.stringMatching(/^!the pod \S+ gets no socket: .* is not a folder$/)]);
});

test("removes nobody while the folder cannot be read, and reports it once", async () => {
  await using folder = await kubelet();
  folder.emptyDir(UID);
  await using found = pods(folder);
  await found.ready;
  renameSync(join(folder.path, "pods"), join(folder.path, "away"));
  await vi.waitFor(() => expect(found.reports).toHaveLength(2));
  renameSync(join(folder.path, "away"), join(folder.path, "pods"));
  folder.emptyDir(OTHER);
  await vi.waitFor(() => expect(found.endpoints.has(OTHER)).toBe(true));
  expect(found.reports.slice(1)).toEqual([
    expect.stringContaining("!--kubelet-dir: cannot find pods: "),
    expect.stringContaining(`+${OTHER}`),
  ]);
});

test("fails if the folder is missing at the start", async () => {
  await using folder = await kubelet();
  await using found = pods(folder);
  await expect(found.ready).rejects.toMatchObject({
    code: "usage",
    hint: expect.stringContaining("/var/lib/kubelet") as string,
  });
});
