import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { BASE, importBase } from "../../../test/testbed/build-base.ts";
import { emptyDirOf, removeFakePods, shortPath, startFakePod } from "../fixtures/guard/fake-pod.ts";
import { startGuard, type GuardProcess } from "../fixtures/guard/guard-process.ts";
import { CGROUPS, cgroupsOf, isUnified } from "../fixtures/guard/processes.ts";
import { contextIn, tenantCli } from "../fixtures/guard/tenant-cli.ts";

const waiting = { timeout: 60_000 };
const MEMORY = `${64 * 1024 * 1024}`;
/** Where the limits of memory of a pod's cgroup are */
const memoryOf = (cgroup: string): string => join(CGROUPS, isUnified ? "" : "memory", cgroup);

describe.skipIf(why)(`a pod and its guard ${why ?? ""}`, () => {
  let folder: string;
  let guard: GuardProcess;
  const cgroups: string[] = [];
  const start = async (): Promise<GuardProcess> => {
    const pods = ["--kubernetes", "--kubelet-dir", join(folder, "kubelet")];
    return await startGuard(folder, ["-H", bed.far.host, ...pods, "--allow-base", BASE], bed.env);
  };
  const record = (uid: string): string => join(folder, "guard-data/tenants", `${uid}.json`);

  /** A pod with a limit of memory, and the docker command at its socket. */
  const startPod = async (uid: string) => {
    const cgroup = `/guard-life-${uid}`;
    const folders = isUnified ? [""] : ["memory", "cpu", "pids"];
    for (const controller of folders) mkdirSync(join(CGROUPS, controller, cgroup), { recursive: true });
    cgroups.push(cgroup);
    writeFileSync(join(memoryOf(cgroup), isUnified ? "memory.max" : "memory.limit_in_bytes"), MEMORY);
    const kubelet = join(folder, "kubelet");
    const id = await startFakePod(bed.far, { kubelet, uid, env: { CGROUP_PARENT: cgroup } });
    const socket = join(emptyDirOf(kubelet, uid), "docker.sock");
    await vi.waitFor(async () => {
      await bed.far.docker("exec", id, "test", "-S", "/var/run/docker/docker.sock");
    }, waiting);
    return { id, cgroup, socket, docker: await tenantCli(bed.far, { socket: shortPath(kubelet, uid), folder }) };
  };
  const imagesOf = async (uid: string): Promise<string> => {
    const ofPod = ["--filter", `label=docker-over-ssh.guard.tenant=${uid}`];
    return (await bed.far.docker("images", "--all", "--quiet", ...ofPod)).stdout;
  };

  beforeAll(async () => {
    if (why) return;
    folder = mkdtempSync(join(bed.folder, "life-"));
    mkdirSync(join(folder, "kubelet/pods"), { recursive: true });
    await importBase(bed.far);
  });

  afterAll(async () => {
    if (why) return;
    await guard?.end("SIGTERM");
    await removeFakePods(bed.far);
    // Engines make a pod's cgroup in all hierarchies, and BuildKit leaves one of its own in it.
    const roots = isUnified ? [""] : readdirSync(CGROUPS);
    for (const cgroup of roots.flatMap((root) => cgroups.map((name) => join(CGROUPS, root, name))))
      for (const path of [join(cgroup, "buildkit"), cgroup]) if (existsSync(path)) rmdirSync(path);
  });

  test("builds run in the pod's cgroup, its limit ends them, and all goes with the pod, or with the next guard", async () => {
    guard = await start();
    const pod = await startPod("pod-a");
    const run = (step: string): string =>
      contextIn(folder, { Dockerfile: `FROM ${BASE}\nRUN echo kept > /kept\n${step}` });
    const hog = await pod.docker(["build", run("RUN tail /dev/zero\n")]);
    expect(hog).toMatchObject({ exitCode: 137, stderr: expect.stringContaining("non-zero code: 137") as string });
    // Docker 20.10 cannot put steps of BuildKit into a cgroup: the classic builder alone.
    for (const end of ["guard", "pod"] as const) {
      const seconds = end === "guard" ? "6001" : "6002";
      expect(await pod.docker(["build", "-t", end, run("")])).toMatchObject({ exitCode: 0 });
      const building = pod.docker(["build", run(`RUN exec sleep ${seconds}\n`)]);
      await vi.waitFor(() => expect(cgroupsOf(`sleep ${seconds}`)).toHaveLength(1), waiting);
      expect(cgroupsOf(`sleep ${seconds}`)[0]).toMatch(new RegExp(`^${pod.cgroup}/`));
      if (end === "guard") {
        await guard.end("SIGKILL");
        expect((await building).exitCode).not.toBe(0);
        guard = await start();
        await vi.waitFor(() => expect(cgroupsOf(`sleep ${seconds}`)).toEqual([]), waiting);
        expect((await pod.docker(["images", "--format", "{{.Repository}}"])).stdout).toBe("guard");
      } else {
        await bed.far.docker("rm", "-f", pod.id);
        expect((await building).exitCode).not.toBe(0);
        await vi.waitFor(() => expect(cgroupsOf(`sleep ${seconds}`)).toEqual([]), waiting);
      }
    }
    await vi.waitFor(() => expect(existsSync(record("pod-a"))).toBe(false), waiting);
    expect(existsSync(pod.socket)).toBe(false);
    expect(await imagesOf("pod-a")).toBe("");

    const other = await startPod("pod-b");
    expect(await other.docker(["build", "-t", "app", run("")])).toMatchObject({ exitCode: 0 });
    await guard.end("SIGKILL");
    await bed.far.docker("rm", "-f", other.id);
    expect(await imagesOf("pod-b")).not.toBe("");
    guard = await start();
    await vi.waitFor(() => expect(existsSync(record("pod-b"))).toBe(false), waiting);
    expect(await imagesOf("pod-b")).toBe("");
  });
});
