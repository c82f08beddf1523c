import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { bed } from "../../../test/engines/bed.ts";
import { BASE } from "../../../test/testbed/build-base.ts";
import { requestSocket } from "../fixtures/guard/request-socket.ts";
import { startGuard } from "../fixtures/guard/guard-process.ts";
import { contextIn, tenantCli } from "../fixtures/guard/tenant-cli.ts";
import { runOnHost, type Guarded } from "./guarded-engine.ts";

const done = { exitCode: 0 };

/** Versions of the API that the docker commands 20.10 to 29 request, and some others */
const VERSIONS = ["1.11", "1.12", "1.23", "1.24", "1.39", "1.40", "1.41", "1.43", "1.44", "1.45", "1.47", "1.48"];
const NEWEST = ["1.49", "1.50", "1.51", "1.52", "1.53", "1.54", "2.0"];

/**
 * Checks that the guard supports the engine's versions of the API and unversioned calls, and rejects others with the
 * engine's messages.
 */
export async function versionsMatchTheEngine({ engine, socket }: Guarded): Promise<void> {
  const versions = ["", ...[...VERSIONS, ...NEWEST].map((version) => `/v${version}`)];
  for (const path of versions.flatMap((version) =>
    ["/_ping", "/version", "/images/json"].map((one) => version + one),
  )) {
    const [own, engines] = [
      await requestSocket(socket("a"), path),
      await requestSocket(engine.description.socket, path),
    ];
    expect({ path, status: own.status }).toEqual({ path, status: engines.status });
    if (engines.status !== 200) expect(messageIn(own.body)).toBe(messageIn(engines.body));
  }
}

/** Checks that docker info and docker version print no warning, and no details of the host. */
export async function hostIsHidden({ engine, a, oldest }: Guarded): Promise<void> {
  const info = JSON.parse((await engine.docker("info", "--format", "{{json .}}")).stdout) as Record<string, string>;
  const host = ["Name", "ID", "KernelVersion", "DockerRootDir", "OperatingSystem"].map((key) => info[key] ?? "");
  expect(host).not.toContain("");
  for (const cli of [a, oldest]) {
    for (const words of [["info"], ["info", "--format", "{{json .}}"], ["version"]]) {
      const output = await cli(words);
      expect(output).toMatchObject({ exitCode: 0, stderr: "" });
      expect(output.stdout).not.toContain("WARNING");
      for (const word of host) expect(output.stdout.split(/[\s",:]+/)).not.toContain(word);
    }
  }
}

/**
 * Checks that the output of a step belongs to the tenant, unless tenants share their cache: /proc gives each run of a
 * step another number.
 */
export async function stepsBelongToTheTenant(scene: Guarded): Promise<void> {
  const { engine, folder, a, b, c, d } = scene;
  const context = contextIn(folder, { Dockerfile: `FROM ${BASE}\nRUN cat /proc/sys/kernel/random/uuid > /number\n` });
  for (const cli of [a, b, c, d])
    expect(await cli(["build", "-t", "number:v1", context], { builder: "buildkit" })).toMatchObject(done);
  const names = ["a", "b", "c", "d"].map((tenant) => `guard.internal/${tenant}/docker.io/library/number:v1`);
  const { stdout } = await engine.docker("inspect", "--format", "{{json .RootFS.Layers}}", ...names);
  const [ofA, ofB, ofC, ofD] = stdout.split("\n");
  expect(new Set([ofA, ofB, ofC]).size).toBe(3);
  expect(ofD).toBe(ofC);
  const asA = ["--add-host", "cache-a.guard.internal:127.0.0.1", context];
  expect(await c(["build", ...asA], { builder: "buildkit" })).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("is the guard's own") as string,
  });
}

/** Checks that the engine fetches an address that the policy allows, and sends no request to another one. */
export async function onlyAllowedSourcesAreFetched(
  scene: Guarded,
  builder: "classic" | "buildkit",
  source: { url: string; requests: string[] },
): Promise<void> {
  const { a, folder } = scene;
  const build = async (address: string) => {
    const files = { Dockerfile: `FROM ${BASE}\nADD ${address} /file\nCMD cat /file\n` };
    return await a(["build", "-t", "added:v1", contextIn(folder, files)], { builder });
  };
  expect(await build(`${source.url}/open/file-${builder}`)).toMatchObject(done);
  expect(await runOnHost(scene, "a", "added:v1")).toBe(`GET /open/file-${builder}`);
  const { exitCode, stdout, stderr } = await build(`${source.url}/opener`);
  expect(exitCode).not.toBe(0);
  expect(stdout + stderr).toContain("is not an address that a build may fetch: an address must begin with");
  expect(source.requests.filter((line) => !line.includes("/open/file"))).toEqual([]);
}

/** Checks that --audit has a line for each request of a real build, and that --metrics counts them. */
export async function requestsAreAudited({ guard, folder, auditFile, a, b }: Guarded): Promise<void> {
  const context = contextIn(folder, { Dockerfile: `FROM ${BASE}\nLABEL some=thing\n` });
  expect(await a(["build", "-t", "watched:v1", context], { builder: "buildkit" })).toMatchObject(done);
  expect((await b(["run", BASE])).exitCode).not.toBe(0);
  const lines = linesOf(auditFile);
  expect(lines).toContainEqual(
    expect.objectContaining({ tenant: "a", rule: "grpc.solve", decision: "allowed", about: ["watched:v1"] }),
  );
  expect(lines).toContainEqual(
    expect.objectContaining({
      tenant: "b",
      call: expect.stringContaining("/containers/create") as string,
      rule: "call.refused",
      decision: "refused",
      status: 403,
    }),
  );
  expect(statSync(auditFile).mode & 0o777).toBe(0o600);
  const [, url = ""] = /metrics are at (\S+)/.exec(await guard.line(/metrics are at/)) ?? [];
  const text = await (await fetch(url)).text();
  const refused = linesOf(auditFile).filter((line) => line["tenant"] === "b" && line["rule"] === "call.refused");
  expect(text).toContain(
    `docker_over_ssh_guard_requests_total{tenant="b",decision="refused",rule="call.refused"} ${refused.length}\n`,
  );
}

/**
 * Checks that in a dry run, docker has the same effects as at the engine, and audit lines show which requests would be
 * refused.
 */
export async function dryRunRefusesNothing({ engine, folder }: Guarded): Promise<void> {
  const auditFile = join(folder, "dry-run.jsonl");
  const own = join(folder, "dry-run");
  const watched = ["--audit", auditFile, "--metrics", "0"];
  await using guard = await startGuard(
    own,
    ["-H", engine.host, "--dry-run", `--bind-local=${own}`, ...watched],
    bed.env,
  );
  const docker = await tenantCli(engine, { socket: join(own, "docker.sock"), folder });
  const context = contextIn(folder, { Dockerfile: `FROM ${BASE}\nRUN echo made > /made\nCMD cat /made\n` });
  for (const builder of ["classic", "buildkit"] as const)
    expect(await docker(["build", "-t", "dry:v1", context], { builder })).toMatchObject(done);
  expect(await docker(["run", "--rm", "--network", "none", "dry:v1"])).toMatchObject({ ...done, stdout: "made" });
  await engine.docker("rmi", "dry:v1");
  const lines = linesOf(auditFile).map(({ decision, rule }) => `${String(decision)} ${String(rule)}`);
  expect(lines).toEqual(expect.arrayContaining(["allowed build", "allowed grpc.solve", "would-refuse call.refused"]));
  expect(lines.filter((line) => line.includes("dry-run.unreadable"))).toEqual([]);
  const [, url = ""] = /metrics are at (\S+)/.exec(await guard.line(/metrics are at/)) ?? [];
  expect(await (await fetch(url)).text()).toContain('decision="would-refuse",rule="call.refused"');
}

/** Returns the error of an API response; engines answer versions before 1.24 with plain text. */
function messageIn(body: string): unknown {
  return body.startsWith("{") ? (JSON.parse(body) as { message: string }).message : body.trim();
}

function linesOf(auditFile: string): Record<string, unknown>[] {
  const lines = readFileSync(auditFile, "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}
