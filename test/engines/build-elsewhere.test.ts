import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROGRAMS, type LoginHost } from "../testbed/login-host.ts";
import { NODE_IMAGE, nodeImage } from "../testbed/node-image.ts";
import { FIRST_HOST, HOST_OPTIONS, startRelayHosts } from "../testbed/relay-hosts.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { until } from "../testbed/wait.ts";
import { bed, done, dos, why } from "./bed.ts";
import { BASE, builtIn, importBase, project } from "./build-projects.ts";

/** A containerd store near, Podman far. */
let mixed: Testbed;
/** `ssh://b`, which has the containerd store, behind `ssh://root@login`, which has the far engine of the shared test bed. */
let hosts: LoginHost;

beforeAll(async () => {
  if (why) return;
  mixed = await startTestbed({ near: { kind: "28.5-containerd" }, far: { kind: "podman" } });
  hosts = await startRelayHosts(bed, { b: mixed.near });
  for (const engine of [mixed.near, mixed.far]) await importBase(engine);
});

afterAll(async () => {
  await hosts?.[Symbol.asyncDispose]();
  await mixed?.[Symbol.asyncDispose]();
});

const files = { Dockerfile: `FROM ${BASE}\nCOPY . /app\nRUN cat /app/name >/said\n`, name: "from here" };
const printName = ["cat", "/said"];

describe.skipIf(why)(`build: with other engines, and on a host behind another one ${why ?? ""}`, () => {
  test("--deploy: the builder's host sends the image on to another host", async () => {
    const words = ["-t", "build-deployed:v1", "-t", "build-deployed:v2", "--deploy", "ssh://b", project(files)];
    const run = await dos(["build", ...HOST_OPTIONS, ...words, FIRST_HOST], { env: hosts.env });
    expect(run).toEqual(done);
    expect(run.stderr).toContain("passes the images on to ssh://b");
    for (const name of ["build-deployed:v1", "build-deployed:v2"])
      expect((await mixed.near.docker("run", "--rm", name, ...printName)).stdout).toBe("from here");
    const lost = await dos(["build", ...HOST_OPTIONS, ...words.with(5, "ssh://none"), FIRST_HOST], { env: hosts.env });
    expect(lost).toMatchObject({ exitCode: 4 });
    expect((await bed.far.listing()).references).toContain("build-deployed:v2");
  });

  test("in a container on the host, which keeps the context in its volume", async () => {
    await nodeImage(bed.far);
    const context = project({ ...files, large: randomBytes(2_000_000) });
    const byContainer = ["--far-path", PROGRAMS.docker, "--far", "container", "--far-image", NODE_IMAGE];
    const words = ["build", "--json", ...byContainer, "-t", "build-by-container:v1", context, FIRST_HOST];
    const first = await dos(words, { env: hosts.env });
    expect(first).toEqual({ ...done, stdout: expect.any(String) as string });
    expect(builtIn(first).contextBytes).toBeGreaterThan(2_000_000);
    expect(builtIn(await dos(words, { env: hosts.env })).contextBytes).toBeLessThan(10_000);
    expect((await bed.far.docker("run", "--rm", "build-by-container:v1", ...printName)).stdout).toBe("from here");
    const removed = async (): Promise<boolean> =>
      await bed.far.docker("volume", "rm", "docker-over-ssh-cache").then(
        () => true,
        () => false,
      );
    await until("the container has left its volume", removed);
  });

  test("Podman builds the image and sends it back", async () => {
    const words = ["-t", "build-podman:v1", "--load", project(files), "ssh://far"];
    const run = await dos(["build", "--json", ...words], { on: mixed });
    expect(run).toEqual({ ...done, stdout: expect.any(String) as string });
    expect((await mixed.far.podman("run", "--rm", "build-podman:v1", ...printName)).stdout).toBe("from here");
    expect((await mixed.near.docker("run", "--rm", "build-podman:v1", ...printName)).stdout).toBe("from here");
    const secret = ["--secret", "id=x,env=PATH"];
    const refused = await dos(["build", ...secret, ...words], { on: mixed });
    expect(refused).toMatchObject({ exitCode: 2 });
    expect(refused.stderr).toContain("buildah");
  });

  test("through any command: an engine with a containerd store builds the image, and an older engine receives it", async () => {
    const command = ["env", `DOCKER_HOST=${mixed.near.host}`, "docker-over-ssh", "build"];
    const words = ["-t", "build-command:v1", "--load", project(files), ...command];
    const run = await dos(["build", "--json", ...words]);
    expect(run).toEqual({ ...done, stdout: expect.any(String) as string });
    expect((await bed.near.docker("run", "--rm", "build-command:v1", ...printName)).stdout).toBe("from here");
    const { stdout: id } = await mixed.near.docker("inspect", "--format", "{{.Id}}", "build-command:v1");
    expect(builtIn(run)).toMatchObject({ id, names: ["build-command:v1"] });
  });

  test("--check: prints warnings on stdout and exits with 15, or prints nothing and exits with 0; rejects an older engine, whatever the remote side is", async () => {
    const command = ["env", `DOCKER_HOST=${mixed.near.host}`, "docker-over-ssh", "build"];
    const context = project({
      warned: `FROM ${BASE} as one\n`,
      clean: `FROM ${BASE}\nRUN exit 1\n`,
      broken: "FROM scratch\nFOO x\n",
    });
    const check = async (file: string, ...words: string[]): ReturnType<typeof dos> =>
      await dos(["build", "--check", "-f", `${context}/${file}`, context, ...words]);
    const warned = await check("warned", ...command);
    expect(warned).toMatchObject({ exitCode: 15, stdout: expect.stringMatching(/^WARNING: FromAsCasing /) as string });
    expect(warned.stderr).toContain("docker-over-ssh: the Dockerfile has 1 warning\n");
    expect(await check("clean", ...command)).toEqual(done);
    expect(await check("broken", ...command)).toMatchObject({ exitCode: 15, stdout: "" });
    for (const host of ["ssh://far", "ssh://bare"]) {
      const refused = await check("clean", host);
      expect(refused).toMatchObject({ exitCode: 2, stdout: "" });
      expect(refused.stderr).toContain("does not check Dockerfiles\n");
    }
  });
});
