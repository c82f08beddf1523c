import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Failure } from "docker-over-ssh/builds";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { installProgram } from "../../../test/testbed/packages.ts";
import { fileEntry, tar, type TarEntry } from "../../../test/testbed/tar.ts";
import type { ApiObject, Backend } from "../../src/guard/backend.ts";
import { openBuildah } from "../../src/guard/buildah/open-buildah.ts";
import type { Caller } from "../../src/guard/caller.ts";
import { openHierarchy } from "../../src/guard/cgroups/hierarchy.ts";
import { openLedger } from "../../src/guard/ledger/open-ledger.ts";
import { createLimits } from "../../src/guard/limits/create-limits.ts";
import { startGuard, type GuardProcess } from "../fixtures/guard/guard-process.ts";
import { PASSWORD_USER, startPasswordRegistry } from "../fixtures/guard/password-registry.ts";
import { CGROUPS, cgroupsOf, pidsOf } from "../fixtures/guard/processes.ts";
import { PLAIN_BUILD } from "../fixtures/guard/plain-build.ts";
import { contextIn, tenantCli } from "../fixtures/guard/tenant-cli.ts";

const waiting = { timeout: 60_000 };
const ALL = { all: false, digests: false, references: [], labels: [], before: [], since: [], until: [] };

const folder = mkdtempSync(join(tmpdir(), "dos-guard-buildah-"));
let backend: Backend | undefined;
let skipped = why;
/** The shell and tools of every image in this file */
let busybox: TarEntry;

beforeAll(async () => {
  if (skipped) return;
  try {
    for (const program of ["buildah", "runc", "slirp4netns"]) await installProgram(program);
    busybox = fileEntry("busybox", await readFile("/bin/busybox"), 0o755);
    const ledger = await openLedger(folder);
    const tell = (line: string): void => console.info(line);
    const dependencies = {
      limits: createLimits(ledger),
      ledger,
      env: process.env,
      cgroupParentOf: () => undefined,
      tell,
    };
    backend = await openBuildah({ data: folder }, dependencies);
  } catch (error) {
    // The error on a machine without user namespaces and runtimes. Any other failure is a bug.
    if (!(error instanceof Failure && error.code === "usage")) throw error;
    skipped = `buildah cannot run here: ${error.message}`;
  }
});

afterAll(async () => {
  for (const tenant of ["a", "b"]) await backend?.removeTenant(tenant);
  await backend?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

function callerOf(id: string): Caller {
  const policy = {
    bases: [],
    pulls: [],
    pushes: [],
    sources: [],
    sharesCache: false,
    hasNetwork: false,
  };
  const tenant = {
    id,
    labels: {},
    policy,
    resources: { ulimits: [] },
    quotas: { context: 1e8, connections: 10, requests: 10 },
  };
  return { tenant, apiVersion: "1.41", signal: AbortSignal.timeout(60_000), note: {} };
}

/** Returns the output of a build, or the reason of its refusal */
async function build(tenant: string, dockerfile: string, links: TarEntry[] = [], name = "app"): Promise<string> {
  const lines: ApiObject[] = [];
  const context = Readable.from(tar([fileEntry("Dockerfile", dockerfile), busybox, ...links]));
  try {
    await backend?.builds.build(callerOf(tenant), { ...PLAIN_BUILD, names: [name] }, context, (line) =>
      lines.push(line),
    );
  } catch (error) {
    return String(error);
  }
  return lines.map(({ stream, error }) => (typeof stream === "string" ? stream : JSON.stringify(error ?? ""))).join("");
}

const link = (path: string, target: string): TarEntry => ({ type: "link", path, target });

test("separates images and steps of two tenants, and hides the host's files", async ({ skip }) => {
  if (skipped || backend === undefined) return skip(skipped || "no buildah");
  const first = 'FROM scratch\nCOPY busybox /bin/busybox\nENV PATH=/bin\nRUN ["/bin/busybox", "--install", "/bin"]\n';
  expect(await build("a", first)).toContain("Successfully tagged app:latest");

  const steps = await build("a", "FROM app\nRUN cat /proc/self/uid_map; ls /sys/class/net; ls /proc\n");
  expect(steps).toContain("Successfully tagged app:latest");
  expect(steps).toMatch(/^\s+0\s+2147483648\s+65536$/m);
  expect(steps).not.toMatch(/eth|docker0|br-/);

  // CVE-2024-1753: buildah 1.28 follows the link out of the context.
  const escaped = await build("a", "FROM app\nRUN --mount=type=bind,source=out,target=/m ls -a /m /m/root\n", [
    link("out", "/"),
  ]);
  expect(escaped).not.toMatch(/^(?:home|boot|srv|\.ssh|\.bashrc)$/m);

  expect(await build("b", "FROM app\nRUN id\n")).toContain("only images built here are");
  for (const place of ["dir:/etc", "oci-archive:/x", "docker-archive:/x"]) {
    expect(await build("b", `FROM ${place}\n`)).toContain("no files of the host");
    expect(await build("b", `FROM scratch\nCOPY --from=${place} / /\n`)).toContain("no files of the host");
  }
  expect(await build("b", "FROM scratch\nCOPY link /x\n", [link("link", "/etc/shadow")])).not.toContain("Successfully");

  const { images } = backend;
  expect(await images.list(callerOf("b"), ALL)).toEqual([]);
  await expect(images.save(callerOf("b"), ["app"], {})).rejects.toThrow("No such image: app");
  expect(await images.list(callerOf("a"), { ...ALL, references: ["app"] })).toMatchObject([
    { RepoTags: ["app:latest"] },
  ]);
  const chunks: Buffer[] = [];
  for await (const chunk of await images.save(callerOf("a"), ["app"], {})) chunks.push(chunk as Buffer);
  expect(Buffer.concat(chunks).toString("latin1")).toContain("docker.io/library/app:latest");

  const { tenant, ...caller } = callerOf("a");
  const full = { ...caller, tenant: { ...tenant, quotas: { ...tenant.quotas, images: 1 } } };
  await expect(images.tag(full, "app", "again")).rejects.toMatchObject({ rule: "quota.images" });
  // A build that exceeds a quota leaves the name unchanged, because the tenant would have too many images.
  const rows = (await images.list(callerOf("a"), ALL)).reduce((sum, { RepoTags }) => sum + (RepoTags as []).length, 0);
  const nearlyFull = { ...caller, tenant: { ...tenant, quotas: { ...tenant.quotas, images: rows + 2 } } };
  const { Id: known } = await images.inspect(callerOf("a"), "app", { manifests: false });
  const context = Readable.from(tar([fileEntry("Dockerfile", "FROM app\nENV MORE=1\n")]));
  const request = { ...PLAIN_BUILD, names: ["app", "app:2", "app:3", "app:4"] };
  await expect(backend.builds.build(nearlyFull, request, context, () => {})).rejects.toMatchObject({
    rule: "quota.images",
  });
  expect(await images.inspect(callerOf("a"), "app", { manifests: false })).toMatchObject({ Id: known });
  // Stages are a cache for the next build, and not images of the tenant.
  const stages = "FROM app AS one\nRUN echo 1 > /one\nFROM app\nCOPY --from=one /one /two\n";
  const before = await images.list(callerOf("a"), ALL);
  expect(await build("a", stages, [], "staged")).not.toContain("Using cache");
  expect(await images.list(callerOf("a"), ALL)).toHaveLength(before.length + 1);
  expect(await build("a", `${stages}LABEL more=1\n`, [], "staged")).toMatch(/Using cache/);

  await backend.removeTenant("a");
  expect(readdirSync(join(folder, "buildah"))).not.toContain("a");
});

test("docker builds and pushes through the process; a step reaches the host, but not the ports on its 127.0.0.1", async ({
  skip,
}) => {
  if (skipped) return skip(skipped);
  const socket = mkdtempSync(join(folder, "socket-"));
  await using registry = await startPasswordRegistry();
  const allowed = ["--bind-local", socket, "--allow-push", `${registry.host}/team/*`];
  await using guard = await startGuard(join(folder, "process"), ["--mode", "buildah", ...allowed], process.env);
  const docker = await tenantCli(bed.near, { socket: join(socket, "docker.sock"), folder });
  const server = createServer((connection) => connection.end("the host's\n")).listen(0);
  const { port } = server.address() as AddressInfo;
  const addresses = Object.values(networkInterfaces()).flatMap((found = []) => found);
  const own = addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
  const get = (address: string): string => `echo | nc -w 5 ${address} ${port}`;

  const steps = [...(own === undefined ? [] : [get(own)]), ...["127.0.0.1", "10.0.2.2"].map((at) => `! (${get(at)})`)];
  const context = contextIn(folder, {
    Dockerfile: `FROM scratch
COPY busybox /bin/busybox
ENV PATH=/bin
RUN ["/bin/busybox", "--install", "/bin"]
RUN ${steps.join(" && ")}
`,
  });
  copyFileSync("/bin/busybox", join(context, "busybox"));
  const name = `${registry.host}/team/app:v1`;
  const built = await docker(["build", "-t", name, context]);
  expect(built).toMatchObject({ exitCode: 0 });
  expect(built.stdout.includes("the host's")).toBe(own !== undefined);
  server.close();

  expect(await docker(["push", name])).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/unauthorized/i) as string,
  });
  const { username, password } = PASSWORD_USER;
  const login = ["login", "--username", username, "--password-stdin", registry.host];
  expect(await docker(login, { input: password })).toMatchObject({ exitCode: 0 });
  expect(await docker(["push", name])).toMatchObject({ exitCode: 0 });
  expect(await registry.status("team/app/manifests/v1", false)).toBe(401);
  expect(await registry.status("team/app/manifests/v1", true)).toBe(200);
  await docker(["tag", name, `${registry.host}/other:v1`]);
  const refused = await docker(["push", `${registry.host}/other:v1`]);
  expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("may not be pushed") as string });
  expect(guard.printed.join("\n")).not.toContain(password);
});

test("runs a step in the tenant's cgroup, whose limit ends it; removes all leftovers of a killed guard", async ({
  skip,
}) => {
  if (skipped) return skip(skipped);
  const socket = mkdtempSync(join(folder, "socket-"));
  const data = join(folder, "limited");
  const options = ["--mode", "buildah", "--bind-local", socket, "--memory", "256m"];
  const start = async (): Promise<GuardProcess> => await startGuard(data, options, process.env);
  const docker = await tenantCli(bed.near, { socket: join(socket, "docker.sock"), folder });
  const build = async (step: string) => {
    const install = 'ENV PATH=/bin\nRUN ["/bin/busybox", "--install", "/bin"]\n';
    const context = contextIn(folder, { Dockerfile: `FROM scratch\nCOPY busybox /bin/busybox\n${install}${step}\n` });
    copyFileSync("/bin/busybox", join(context, "busybox"));
    return await docker(["build", "-t", "app", context]);
  };
  let guard = await start();
  const hog = await build("RUN tail /dev/zero");
  expect(hog).toMatchObject({ exitCode: 137 });
  expect(hog.stderr).toContain("the memory that builds of this tenant may have was used up");

  const building = build("RUN exec sleep 6081");
  await vi.waitFor(() => expect(pidsOf("sleep 6081")).toHaveLength(1), waiting);
  const [cgroup = ""] = cgroupsOf("sleep 6081");
  expect(cgroup).toMatch(/^\/docker-over-ssh-guard\/[0-9a-f]+\/local(?:\/|$)/);
  await guard.end("SIGKILL");
  expect((await building).exitCode).not.toBe(0);
  await vi.waitFor(() => expect(pidsOf("sleep 6081")).toEqual([]), waiting);
  guard = await start();
  expect(await build("RUN echo more > /more")).toMatchObject({ exitCode: 0 });
  expect(readdirSync(join(guard.data, "buildah/local/calls"))).toEqual([]);
  expect(readFileSync("/proc/mounts", "utf8")).not.toContain(guard.data);

  // A build that must be limited does not run without its limits.
  await (await openHierarchy(CGROUPS)).remove(cgroup.split("/").slice(0, 4).join("/"));
  const unlimited = await build("RUN echo has-run");
  expect(unlimited.exitCode).not.toBe(0);
  expect(unlimited.stderr).toMatch(/the cgroup .* of this tenant cannot be used/);
  await guard.end("SIGTERM");
});
