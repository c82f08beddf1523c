import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { BASE, importBase } from "../../../test/testbed/build-base.ts";
import { oldestCli } from "../../../test/testbed/engine-packages.ts";
import { emptyDirOf, removeFakePods, shortPath, startFakePod } from "../fixtures/guard/fake-pod.ts";
import { startGuard, type GuardProcess } from "../fixtures/guard/guard-process.ts";
import { CGROUPS, cgroupFolder, cgroupsOf, isUnified } from "../fixtures/guard/processes.ts";
import { contextIn, tenantCli, type TenantCli } from "../fixtures/guard/tenant-cli.ts";

const waiting = { timeout: 60_000 };
const MB = 1024 * 1024;

describe.skipIf(why)(`a pod and its guard ${why ?? ""}`, () => {
  let folder: string;
  let guard: GuardProcess;
  const cgroups: string[] = [];
  const start = async (): Promise<GuardProcess> => {
    const pods = ["--kubernetes", "--kubelet-dir", join(folder, "kubelet")];
    return await startGuard(folder, ["-H", bed.far.host, ...pods, "--allow-base", BASE], bed.env);
  };
  const record = (uid: string): string => join(folder, "guard-data/tenants", `${uid}.json`);

  /** Starts a pod with a memory limit, and returns the docker command at its socket. */
  const startPod = async (uid: string, memory: number) => {
    const cgroup = `/guard-life-${uid}`;
    for (const controller of ["memory", "cpu", "pids"] as const)
      mkdirSync(cgroupFolder(controller, cgroup), { recursive: true });
    cgroups.push(cgroup);
    writeFileSync(
      join(cgroupFolder("memory", cgroup), isUnified ? "memory.max" : "memory.limit_in_bytes"),
      `${memory}`,
    );
    const kubelet = join(folder, "kubelet");
    const options = ["--volume", `${join(await oldestCli(), "docker")}:/bin/docker:ro`];
    const id = await startFakePod(bed.far, { kubelet, uid, env: { CGROUP_PARENT: cgroup }, options });
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
    // Engines create a pod's cgroup in all hierarchies, and BuildKit leaves a child cgroup in it.
    const roots = isUnified ? [""] : readdirSync(CGROUPS);
    for (const cgroup of roots.flatMap((root) => cgroups.map((name) => join(CGROUPS, root, name))))
      for (const path of [join(cgroup, "buildkit"), cgroup]) if (existsSync(path)) rmdirSync(path);
  });

  test("builds run in the pod's cgroup, whose limit ends them; all data is removed with the pod, or by the next guard", async () => {
    guard = await start();
    const pod = await startPod("pod-a", 64 * MB);
    const run = (step: string): string =>
      contextIn(folder, { Dockerfile: `FROM ${BASE}\nRUN echo kept > /kept\n${step}` });
    const hog = await pod.docker(["build", run("RUN tail /dev/zero\n")]);
    expect(hog).toMatchObject({ exitCode: 137, stderr: expect.stringContaining("non-zero code: 137") as string });
    // Docker 20.10 cannot put BuildKit's steps into a cgroup, so it uses only the classic builder.
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

    // With a docker in the pod, as any of its users, at the socket that its environment names.
    const other = await startPod("pod-b", 512 * MB);
    const inPod = ["exec", "--interactive", "--user", "1234", "--env", "DOCKER_BUILDKIT=0", other.id];
    const dockerfile = Buffer.from(`FROM ${BASE}\nRUN echo kept > /kept\n`);
    const built = await bed.far.dockerWithInput([dockerfile], [...inPod, "docker", "build", "-t", "app", "-"]);
    expect(built.stdout).toContain("Successfully tagged app:latest");
    await guard.end("SIGKILL");
    await bed.far.docker("rm", "-f", other.id);
    expect(await imagesOf("pod-b")).not.toBe("");
    guard = await start();
    await vi.waitFor(() => expect(existsSync(record("pod-b"))).toBe(false), waiting);
    expect(await imagesOf("pod-b")).toBe("");
  });
});

describe.skipIf(why)(`a guard whose disk is full ${why ?? ""}`, () => {
  test("a build fails with the reason and leaves nothing, and other calls continue", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dos-guard-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const data = join(folder, "guard-data");
    mkdirSync(data);
    await execa("mount", ["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", data]);
    onTestFinished(async () => void (await execa("umount", [data])));
    await importBase(bed.near);
    const socket = (tenant: string): string => join(folder, `${tenant}.sock`);
    const tenants = ["c", "d"].flatMap((name) => ["--tenant", `name=${name},socket=${socket(name)}`]);
    await using _guard = await startGuard(folder, ["-H", bed.near.host, ...tenants, "--allow-base", BASE], bed.env);
    const [c, d] = [
      await tenantCli(bed.near, { socket: socket("c"), folder }),
      await tenantCli(bed.near, { socket: socket("d"), folder }),
    ];
    const build = async (name: string, builder: "classic" | "buildkit") => {
      const files = contextIn(folder, { Dockerfile: `FROM ${BASE}\nRUN echo ${name} > /name\n` });
      return await c(["build", "-t", name, files], { builder });
    };
    const onEngine = async (): Promise<string[]> => {
      const ofTenant = ["--filter", "label=docker-over-ssh.guard.tenant=c"];
      return (await bed.near.docker("images", "--all", "--quiet", ...ofTenant)).stdout.split("\n").toSorted();
    };
    const names = async (cli: TenantCli) => await cli(["images", "--format", "{{.Repository}}"]);
    expect(await build("kept", "classic")).toMatchObject({ exitCode: 0 });
    const before = await onEngine();
    const filler = join(data, "filler");
    expect(() => writeFileSync(filler, Buffer.alloc(1024 * 1024))).toThrow(/ENOSPC/);
    for (const builder of ["classic", "buildkit"] as const) {
      const { exitCode, stderr } = await build(`refused-${builder}`, builder);
      expect(exitCode).not.toBe(0);
      expect(stderr).toContain("the guard's disk is full: it cannot record what this call would create");
    }
    expect(await onEngine()).toEqual(before);
    expect(await names(c)).toEqual({ exitCode: 0, stdout: "kept", stderr: "" });
    expect(await names(d)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    rmSync(filler);
    expect(await build("again", "buildkit")).toMatchObject({ exitCode: 0 });
    expect(await c(["rmi", "kept", "again"])).toMatchObject({ exitCode: 0 });
  });
});
