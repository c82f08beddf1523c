import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { BASE } from "../../../test/testbed/build-base.ts";
import type { Engine } from "../../../test/testbed/engine.ts";
import { emptyRecord, writtenRecord } from "../../src/guard/ledger/record-file.ts";
import { cgroupFolder, cgroupsOf, isUnified, pidsOf, type Controller } from "../fixtures/guard/processes.ts";
import { contextIn, type CliOptions, type TenantCli } from "../fixtures/guard/tenant-cli.ts";

const waiting = { timeout: 60_000 };
const MEMORY = 64 * 1024 * 1024;
const HOUR = 3_600_000;

/** Tenants with limits, and their settings after other fields of --tenant */
export const LIMITED = {
  limited: ",memory=64m,cpus=0.5,pids=64,ulimit=nofile=99,network=none",
  "own-ulimit": ",ulimit=nofile=99",
  few: ",max-builds=1,max-images=1,max-bytes=1m",
  "late-classic": ",max-build-minutes=1",
  "late-buildkit": ",max-build-minutes=1",
} as const;

/** Records, before the guard starts, that the late tenants have used all of their minute except two seconds. */
export function useUpMinutes(data: string): void {
  mkdirSync(join(data, "tenants"), { recursive: true, mode: 0o700 });
  const hours = [{ hour: Math.floor(Date.now() / HOUR), buildTime: 58_000, pushBytes: 0 }];
  for (const tenant of ["late-classic", "late-buildkit"])
    writeFileSync(join(data, "tenants", `${tenant}.json`), writtenRecord({ ...emptyRecord(tenant), hours }));
}

type Builder = NonNullable<CliOptions["builder"]>;

export interface LimitsScene {
  engine: Engine;
  folder: string;
  cli: (tenant: string, isOldest?: boolean) => Promise<TenantCli>;
}

/** Returns the output of a command */
const outputOf = ({ stdout, stderr }: { stdout: string; stderr: string }): string => stdout + stderr;

/** Steps that print their limits, and one that runs until somebody ends it */
const steps = (last: string): string => `FROM ${BASE}
RUN echo "nofile=$(ulimit -n) ethernets=$(ls /sys/class/net | grep -c eth)"; \\
  (i=0; while [ $i -lt 200 ]; do sleep 600 & i=$((i+1)); done); echo "forked=$?"
RUN tail /dev/zero; echo "hog=$?"
RUN exec ${last}
`;

/**
 * Checks that steps of each builder have the limits of their tenant. `version=2` is the CLI 20.10, which uses BuildKit
 * by `POST /build`.
 */
export async function stepsAreLimited(scene: LimitsScene, client: Builder | "version=2"): Promise<void> {
  const docker = await scene.cli("limited", client === "version=2");
  const last = { classic: "sleep 6061", buildkit: "sleep 6062", "version=2": "sleep 6063" }[client];
  const options = { builder: client === "classic" ? "classic" : "buildkit" } as const;
  const building = docker(["build", "--no-cache", contextIn(scene.folder, { Dockerfile: steps(last) })], options);
  await Promise.race([vi.waitFor(() => expect(pidsOf(last)).toHaveLength(1), waiting), building]);
  const controllers = ["memory", "cpu", "pids"] as const;
  const cgroups = controllers.map((controller) => cgroupsOf(last, controller)[0] ?? "");
  for (const pid of pidsOf(last)) process.kill(pid, "SIGKILL");
  const ended = await building;
  const output = outputOf(ended);
  expect(output).toContain("nofile=99 ethernets=0");
  expect(output).toMatch(/forked=[1-9]/);
  expect(output).toContain("hog=137");
  expect(ended.exitCode).not.toBe(0);

  const limitOf = (controller: Controller, name: string): string => {
    const [parent = ""] = /^\/docker-over-ssh-guard\/[0-9a-f]+\/limited(?=\/)/.exec(cgroups[0] ?? "") ?? [];
    return readFileSync(join(cgroupFolder(controller, parent), name), "utf8").trim();
  };
  for (const cgroup of cgroups) expect(cgroup).toMatch(/^\/docker-over-ssh-guard\/[0-9a-f]+\/limited\//);
  expect(limitOf("memory", isUnified ? "memory.max" : "memory.limit_in_bytes")).toBe(`${MEMORY}`);
  expect(limitOf("cpu", isUnified ? "cpu.max" : "cpu.cfs_quota_us")).toMatch(/^50000\b/);
  expect(limitOf("pids", "pids.max")).toBe("64");
}

/** Checks that steps do not run without limits: BuildKit of 20.10 supports neither cgroups nor ulimits. */
export async function unlimitedStepsDoNotRun({ cli, folder }: LimitsScene): Promise<void> {
  const context = contextIn(folder, { Dockerfile: `FROM ${BASE}\nRUN echo has-"run"\n` });
  const reasons = { limited: /run steps in the cgroup of their tenant/, "own-ulimit": /limit the processes of steps/ };
  for (const tenant of ["limited", "own-ulimit"] as const) {
    for (const isOldest of [false, true]) {
      const ended = await (await cli(tenant, isOldest))(["build", context], { builder: "buildkit" });
      expect(ended.exitCode).not.toBe(0);
      expect(outputOf(ended)).toMatch(reasons[tenant]);
      expect(outputOf(ended)).toContain("DOCKER_BUILDKIT=0");
      expect(outputOf(ended)).not.toContain("has-run");
    }
  }
}

/** Checks that a tenant reaches its quotas of images, bytes and builds, and gets the reason of each refusal. */
export async function quotasHold({ cli, engine, folder }: LimitsScene, builder: Builder): Promise<void> {
  const docker = await cli("few");
  const small = contextIn(folder, { Dockerfile: "FROM scratch\nCOPY file /\n", file: "content\n" });
  const large = contextIn(folder, { Dockerfile: "FROM scratch\nCOPY file /\n", file: "x".repeat(2_000_000) });
  const build = async (context: string, ...names: string[]) =>
    await docker(["build", ...names.flatMap((name) => ["-t", name]), context], { builder });
  const names = async (): Promise<string> => (await docker(["images", "--format", "{{.Repository}}"])).stdout;
  const onEngine = async (): Promise<string> => {
    const ofTenant = ["--filter", "label=docker-over-ssh.guard.tenant=few"];
    return (await engine.docker("images", "--all", "--quiet", ...ofTenant)).stdout;
  };
  const isRefused = async (context: string, reason: RegExp, ...given: string[]): Promise<void> => {
    const ended = await build(context, ...given);
    expect(outputOf(ended)).toMatch(reason);
    expect(ended.exitCode).not.toBe(0);
  };
  await isRefused(large, /images would take 2 MB, and 1 MB are allowed: remove some with docker rmi/, "one");
  await isRefused(small, /this would make 2 images, and 1 are allowed: remove some with docker rmi/, "one", "two");
  expect(await names()).toBe("");
  expect(await onEngine()).toBe("");
  expect(await build(small, "one")).toMatchObject({ exitCode: 0 });
  await isRefused(small, /this would make 2 images, and 1 are allowed: remove some with docker rmi/, "two");
  expect(await names()).toBe("one");
  expect(await docker(["rmi", "one"])).toMatchObject({ exitCode: 0 });

  const last = builder === "classic" ? "sleep 6064" : "sleep 6065";
  const building = build(contextIn(folder, { Dockerfile: `FROM ${BASE}\nRUN exec ${last}\n` }));
  await vi.waitFor(() => expect(pidsOf(last)).toHaveLength(1), waiting);
  await isRefused(small, /one build runs already: wait for one to end/, "one");
  for (const pid of pidsOf(last)) process.kill(pid, "SIGKILL");
  expect((await building).exitCode).not.toBe(0);
  expect(await build(small, "one")).toMatchObject({ exitCode: 0 });
  expect(await docker(["rmi", "one"])).toMatchObject({ exitCode: 0 });
}

/** Checks that a build whose minutes are used up is ended with the reason, and that the next one is refused. */
export async function minutesEndBuilds({ cli, engine, folder }: LimitsScene): Promise<void> {
  const reason =
    /this tenant has used up its build time for 24 hours \(.*\): more is available at \d{4}-\d\d-\d\d \d\d:\d\d UTC/;
  await Promise.all(
    (["classic", "buildkit"] as const).map(async (builder) => {
      const docker = await cli(`late-${builder}`);
      const last = builder === "classic" ? "sleep 6066" : "sleep 6067";
      const context = contextIn(folder, { Dockerfile: `FROM ${BASE}\nRUN exec ${last}\n` });
      for (let tries = 0; tries < 2; tries++) {
        const ended = await docker(["build", "-t", "late", context], { builder });
        expect(outputOf(ended)).toMatch(reason);
        expect(ended.exitCode).not.toBe(0);
      }
      await vi.waitFor(() => expect(pidsOf(last)).toEqual([]), waiting);
      const ofTenant = ["--filter", `label=docker-over-ssh.guard.tenant=late-${builder}`];
      expect((await engine.docker("images", "--all", "--quiet", ...ofTenant)).stdout).toBe("");
    }),
  );
}
