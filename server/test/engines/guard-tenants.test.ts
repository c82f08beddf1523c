import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { BASE, importBase } from "../../../test/testbed/build-base.ts";
import type { Engine } from "../../../test/testbed/engine.ts";
import { startTestbed } from "../../../test/testbed/start.ts";
import type { Testbed } from "../../../test/testbed/testbed.ts";
import { openHierarchy } from "../../src/guard/cgroups/hierarchy.ts";
import { hostCli, recordsOf, recordsWithParents } from "./guard-cache-scene.ts";
import { requestSocket } from "../fixtures/guard/request-socket.ts";
import { removeFakePods, shortPath, startFakePod } from "../fixtures/guard/fake-pod.ts";
import { startGuard } from "../fixtures/guard/guard-process.ts";
import { CGROUPS, cgroupsOf, pidsOf } from "../fixtures/guard/processes.ts";
import { startStandInRegistry } from "../fixtures/guard/stand-in-registry.ts";
import { startServerProcess } from "../fixtures/server-process.ts";
import { contextIn, tenantCli, type TenantCli } from "../fixtures/guard/tenant-cli.ts";

const done = { exitCode: 0 };
const BUILDERS = ["classic", "buildkit"] as const;
const waiting = { timeout: 60_000 };

/** Returns the IDs of all images of a tenant on an engine, including those of steps */
async function imagesOf(engine: Engine, tenant: string): Promise<string[]> {
  const ofTenant = ["--filter", `label=docker-over-ssh.guard.tenant=${tenant}`];
  const { stdout } = await engine.docker("images", "--all", "--quiet", "--no-trunc", ...ofTenant);
  return [...new Set(stdout.split("\n"))].filter(Boolean).toSorted();
}

describe.skipIf(why)(`changes of tenants and engines ${why ?? ""}`, () => {
  let folder: string;
  let latest: Testbed;

  beforeAll(async () => {
    if (why) return;
    folder = mkdtempSync(join(tmpdir(), "dos-tenants-"));
    mkdirSync(join(folder, "kubelet/pods"), { recursive: true });
    latest = await startTestbed({ near: { kind: "28.5" } });
    for (const engine of [bed.far, latest.near, latest.far]) await importBase(engine);
  });
  afterAll(async () => {
    if (why) return;
    if (latest !== undefined) await removeFakePods(latest.far);
    await latest?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const context = (steps: string): string => contextIn(folder, { Dockerfile: `FROM ${BASE}\n${steps}\n` });
  /** Begins a build with each builder, whose steps run until somebody ends them. */
  const beginBuilds = async (docker: TenantCli, seconds: Record<(typeof BUILDERS)[number], number>) => {
    const builds = BUILDERS.map(async (builder) => {
      const steps = `RUN echo ${seconds[builder]} > /step\nRUN exec sleep ${seconds[builder]}`;
      return await docker(["build", "-t", `never-${builder}`, context(steps)], { builder });
    });
    const commands = BUILDERS.map((builder) => `sleep ${seconds[builder]}`);
    await vi.waitFor(() => expect(commands.map((command) => pidsOf(command).length)).toEqual([1, 1]), waiting);
    return {
      cgroups: commands.map((command) => cgroupsOf(command)[0]),
      /** @param steps builders whose steps must have ended as well */
      async haveEnded(steps: readonly string[] = BUILDERS): Promise<string> {
        const ended = await Promise.all(builds);
        expect(ended.map(({ exitCode }) => exitCode === 0)).toEqual([false, false]);
        const theirs = commands.filter((_, index) => steps.includes(BUILDERS[index] ?? ""));
        await vi.waitFor(() => expect(theirs.flatMap(pidsOf)).toEqual([]), waiting);
        return ended.map(({ stdout, stderr }) => stdout + stderr).join("\n");
      },
    };
  };

  // Uses an engine of its own, because an engine that is stopped during a step keeps the container of that step.
  test("when an engine restarts, calls get an error, builds and events end, and everything works again afterwards", async () => {
    const kubelet = join(folder, "kubelet");
    const socket = join(folder, "team.sock");
    const tenant = ["--tenant", `name=team,socket=${socket}`, "--allow-base", BASE];
    const pods = ["--kubernetes", "--kubelet-dir", kubelet];
    await using guard = await startGuard(join(folder, "1"), ["-H", latest.far.host, ...tenant, ...pods], latest.env);
    const docker = await tenantCli(latest.far, { socket, folder });
    const images = async (cli: TenantCli): Promise<string> =>
      (await cli(["images", "--format", "{{.Repository}}"])).stdout;
    expect(await docker(["build", "-t", "app", context("RUN echo app > /app")])).toMatchObject(done);
    const pod = await startFakePod(latest.far, { kubelet, uid: "before" });
    const before = shortPath(kubelet, "before");
    const ofPod = await tenantCli(latest.far, { socket: before, folder });
    await vi.waitFor(() => expect(existsSync(before)).toBe(true), waiting);
    const { ino } = lstatSync(socket);
    const events = docker(["events"]);
    const building = await beginBuilds(docker, { classic: 6021, buildkit: 6022 });

    await latest.far.stop();
    await events;
    await building.haveEnded(["classic"]); // steps of BuildKit outlive a stopped engine
    for (const path of ["/images/json", "/v1.41/events"]) {
      const { status, body } = await requestSocket(socket, path);
      expect(body).toContain("the engine cannot be reached");
      expect(status).toBe(502);
    }
    expect(await docker(["images"])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("the engine cannot be reached") as string,
    });

    const options = [
      "--data",
      join(folder, "late"),
      "-H",
      latest.far.host,
      "--bind-local",
      join(folder, "late-socket"),
    ];
    await using late = startServerProcess(["guard", ...options], { HOME: folder, ...latest.env });
    await late.line(/The guard retries/);
    await latest.far.start();
    await late.line(/the guard is ready/);
    expect(lstatSync(socket).ino).toBe(ino);
    expect(await images(docker)).toBe("app");
    for (const builder of BUILDERS)
      expect(
        await docker(["build", "-t", `app-${builder}`, context(`RUN echo ${builder} > /x`)], { builder }),
      ).toMatchObject(done);
    expect(await ofPod(["build", "-t", "of-pod", context("RUN echo pod > /x")])).toMatchObject(done);
    await startFakePod(latest.far, { kubelet, uid: "after" });
    const after = shortPath(kubelet, "after");
    await vi.waitFor(() => expect(existsSync(after)).toBe(true), waiting);
    expect(await images(await tenantCli(latest.far, { socket: after, folder }))).toBe("");
    await latest.far.docker("rm", "-f", pod);
    await vi.waitFor(async () => expect(await imagesOf(latest.far, "before")).toEqual([]), waiting);
    expect(guard.printed.filter((line) => /has failed/.test(line))).toEqual([]);
    await docker(["rmi", "app", "app-classic", "app-buildkit"]);
  });

  test("a tenant that SIGHUP removes from --config loses its socket and its builds, and finds its images when it returns", async () => {
    const config = join(folder, "tenants.json");
    const socketOf = (name: string): string => join(folder, `${name}.sock`);
    const write = (...names: string[]): void =>
      writeFileSync(config, JSON.stringify({ tenants: names.map((name) => ({ name, socket: socketOf(name) })) }));
    write("stays", "leaves");
    const options = ["-H", bed.far.host, "--config", config, "--allow-base", BASE];
    await using guard = await startGuard(join(folder, "2"), options, bed.env);
    const [stays, leaves] = [
      await tenantCli(bed.far, { socket: socketOf("stays"), folder }),
      await tenantCli(bed.far, { socket: socketOf("leaves"), folder }),
    ];
    expect(await leaves(["build", "-t", "app", context("RUN echo app > /app")])).toMatchObject(done);
    const before = await imagesOf(bed.far, "leaves");
    const building = await beginBuilds(leaves, { classic: 6031, buildkit: 6032 });

    write("stays");
    guard.signal("SIGHUP");
    expect((await building.haveEnded()).match(/this tenant is no longer served/g)?.length).toBeGreaterThanOrEqual(2);
    expect(existsSync(socketOf("leaves"))).toBe(false);
    expect(await stays(["images", "--quiet"])).toMatchObject({ exitCode: 0, stdout: "" });
    await vi.waitFor(async () => expect(await imagesOf(bed.far, "leaves")).toEqual(before), waiting);

    write("stays", "leaves");
    guard.signal("SIGHUP");
    await vi.waitFor(() => expect(existsSync(socketOf("leaves"))).toBe(true), waiting);
    expect((await leaves(["images", "--format", "{{.Repository}}"])).stdout).toBe("app");
    expect(await leaves(["build", "-t", "more", context("RUN echo app > /app\nRUN echo more")])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining("Using cache") as string,
    });
    await leaves(["rmi", "more", "app"]);
  });

  test("a tenant that is removed while it pushes and saves: docker reports it, and the engine and the registry keep nothing", async () => {
    const engine = latest.near;
    const config = join(folder, "leaving.json");
    const socket = join(folder, "leaving.sock");
    const write = (...tenants: object[]): void => writeFileSync(config, JSON.stringify({ tenants }));
    // It accepts an upload, and never answers.
    let onUpload!: (response: ServerResponse) => void;
    const uploading = new Promise<ServerResponse>((resolve) => (onUpload = resolve));
    await using registry = await startStandInRegistry({
      answer(request, response) {
        if (request.method !== "PATCH") return false;
        request.resume();
        onUpload(response);
        return true;
      },
    });
    write({ name: "leaving", socket, allowPush: [`${registry.host}/*`] });
    await using guard = await startGuard(join(folder, "4"), ["-H", engine.host, "--config", config], latest.env);
    const docker = await tenantCli(engine, { socket, folder });
    const name = `${registry.host}/team/app:v1`;
    const file = randomBytes(4_000_000).toString("hex"); // more than all pipes between the engine and docker can hold
    const image = contextIn(folder, { Dockerfile: "FROM scratch\nCOPY file /\n", file });
    expect(await docker(["build", "-t", name, image])).toMatchObject(done);
    const before = await engine.listing();

    let onArchive!: (stdout: Readable) => void;
    const archive = new Promise<Readable>((resolve) => (onArchive = resolve));
    const saving = docker(["save", name], { read: onArchive });
    const pushing = docker(["push", name]);
    await once(await archive, "readable"); // and it is not read any further
    const uploadEnds = once(await uploading, "close");
    write();
    guard.signal("SIGHUP");
    expect(await pushing).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("this tenant is no longer served") as string,
    });
    await uploadEnds;
    (await archive).resume();
    expect(await saving).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("unexpected EOF") as string });
    expect(existsSync(socket)).toBe(false);
    expect([registry.manifests.size, registry.blobs.size]).toEqual([0, 0]);
    await vi.waitFor(async () => expect(await engine.listing()).toEqual(before), waiting);
    expect(guard.printed.filter((line) => /has failed/.test(line))).toEqual([]);
    // By its name: this removes the images of its steps as well, which cannot be removed before it.
    await engine.docker("rmi", `guard.internal/leaving/${name.replace(":", "__")}`);
  });

  test("--kubelet-dir alone: builds of a pod run in its cgroup, and its data is removed with its folder, even after a crash", async () => {
    const engine = latest.near;
    const kubelet = mkdtempSync(join(folder, "kubelet-"));
    mkdirSync(join(kubelet, "pods"));
    const uid = "0a1b2c3d-1111-4222-8333-444455556666";
    // The path above it is one that a kubelet could use.
    const pods = "/guard-kubepods";
    const hierarchy = await openHierarchy(CGROUPS);
    await hierarchy.create(`${pods}/pod${uid}`, { memory: 64 * 1024 ** 2 });
    const options = ["-H", engine.host, "--kubelet-dir", kubelet, "--allow-base", BASE, "--memory", "512m"];
    const start = async () => await startGuard(join(folder, "3"), options, latest.env);
    const host = await hostCli(engine, folder);
    const socket = shortPath(kubelet, uid);
    const docker = await tenantCli(engine, { socket, folder });
    let records: ReadonlySet<string>;
    {
      await using killed = await start();
      await vi.waitFor(() => expect(existsSync(socket)).toBe(true), waiting);
      for (const builder of BUILDERS) {
        const step = context(`RUN echo ${builder} > /app`);
        expect(await docker(["build", "-t", builder, step], { builder })).toMatchObject(done);
        // The limit of the pod, which is lower than that of the guard.
        const hog = await docker(["build", context("RUN tail /dev/zero")], { builder });
        expect(hog.exitCode).not.toBe(0);
        expect(hog.stderr).toMatch(/code: 137/);
      }
      records = new Set(await recordsOf(docker));
      expect(await recordsOf(host)).toEqual(expect.arrayContaining([...records]));
      const building = await beginBuilds(docker, { classic: 6041, buildkit: 6042 });
      const ofPod = new RegExp(`^${pods}/pod${uid}/docker-over-ssh-guard/[0-9a-f]+/${uid}/`);
      for (const cgroup of building.cgroups) expect(cgroup).toMatch(ofPod);
      await killed.end("SIGKILL");
      await building.haveEnded();
    }
    await using guard = await start();
    expect((await docker(["images", "--format", "{{.Repository}}"])).stdout.split("\n").toSorted()).toEqual(
      BUILDERS.toSorted(),
    );
    const others = new Set((await recordsOf(host)).filter((id) => !records.has(id)));
    const building = await beginBuilds(docker, { classic: 6051, buildkit: 6052 });
    rmSync(join(kubelet, "pods", uid), { recursive: true });
    await building.haveEnded();
    await vi.waitFor(() => expect(readdirSync(join(guard.data, "tenants"))).toEqual([]), waiting);
    expect(await imagesOf(engine, uid)).toEqual([]);
    expect((await engine.listing()).references.filter((name) => name.includes(uid))).toEqual([]);
    expect((await engine.docker("ps", "--all", "--quiet")).stdout).toBe("");
    // The records of the build that ran when the guard was killed belong to nobody, and neither do their parents.
    const left = await recordsWithParents(host);
    const nobodys = new Set([...others].flatMap((id) => [id, ...(left.get(id) ?? [])]));
    expect([...left.keys()].filter((id) => !nobodys.has(id))).toEqual([]);
    const [ofGuard = ""] = /^.*\/docker-over-ssh-guard\/[0-9a-f]+/.exec(building.cgroups[1] ?? "") ?? [];
    expect(await hierarchy.children(ofGuard)).toEqual([]);
    expect(guard.printed.filter((line) => /has failed|in use/.test(line))).toEqual([]);
    expect(await hierarchy.remove(pods)).toBe(true);
  });
});
