import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import { startExecHost } from "../testbed/exec-host.ts";
import { bed, done, dos, rememberEngines, unchanged, why } from "./bed.ts";
import { startRegistry } from "./registry.ts";

const MB = 1_000_000;
/** 8 MB below, and a small layer on top. The bytes are random, so that they do not compress. */
const layers: LayerSpec[] = [
  { name: "libraries", bytes: 6 * MB, files: 40 },
  { name: "modules", bytes: 2 * MB, files: 400 },
];

describe.skipIf(why)(`one command moves an image from one engine to another ${why ?? ""}`, () => {
  beforeAll(async () => {
    for (const tag of ["v1", "v2"]) await buildImage(bed.near, `app:${tag}`, layers);
  });

  test("over ssh: the image runs on the far engine, and nothing else is left on either side", async () => {
    const changes = await rememberEngines(bed.near, bed.far);
    const run = await dos(["push", "app:v1", "ssh", "far", "docker-over-ssh pull app:v1"]);
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/^pushed app:v1: .* sent for 4 layers, 0 layers already present, in /m);
    expect((await bed.far.docker("run", "--rm", "app:v1")).stdout).toBe("app v1");
    expect(await changes()).toEqual([
      { came: [], went: [] },
      { came: ["app:v1"], went: [] },
    ]);
  });

  test("a second version sends only the changed layer, counted on the wire", async () => {
    const wire = await bed.countWire();
    const run = await dos(["push", "app:v2", "ssh", "far", "docker-over-ssh pull app:v2"]);
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/sent for 1 layer, 3 layers.* already present/);
    const { toFar, toNear } = await wire();
    expect(toFar).toBeGreaterThan(500);
    expect(toFar).toBeLessThan(64_000);
    expect(toNear).toBeLessThan(64_000);
    expect((await bed.far.docker("run", "--rm", "app:v2")).stdout).toBe("app v2");
  });

  test("pull starts a remote push", async () => {
    await bed.near.docker("tag", "app:v1", "back:v1");
    await dos(["push", "back:v1", "ssh", "far", "docker-over-ssh pull back:v1"]);
    await bed.near.docker("rmi", "back:v1");
    const changes = await rememberEngines(bed.near, bed.far);
    const run = await dos(["pull", "back:v1", "ssh", "far", "docker-over-ssh push back:v1"]);
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/^pulled back:v1: .* 4 layers.* already present/m);
    expect(await changes()).toEqual([
      { came: ["back:v1"], went: [] },
      { came: [], went: [] },
    ]);
  });

  test.each([
    ["from the embedded registry, loaded", "embedded", "load"],
    ["from the embedded registry, pulled by the engine", "embedded", "pull"],
    ["from a registry:2 container, loaded", "container", "load"],
    ["from a registry:2 container, pulled by the engine", "container", "pull"],
  ])("%s: a second version sends one layer, nothing else is left", async (_, registry, via) => {
    const name = `by-${registry}-${via}`;
    const own = [{ name, bytes: MB, files: 3 }];
    for (const tag of ["v1", "v2"]) await buildImage(bed.near, `${name}:${tag}`, own);
    const changes = await rememberEngines(bed.near, bed.far);
    const line = (tag: string): string[] => ["ssh", "far", `docker-over-ssh pull --via ${via} ${name}:${tag}`];
    expect(await dos(["push", "--registry", registry, `${name}:v1`, ...line("v1")])).toEqual(done);
    const wire = await bed.countWire();
    expect(await dos(["push", "--registry", registry, `${name}:v2`, ...line("v2")])).toEqual(done);
    const { toFar, toNear } = await wire();
    expect(Math.max(toFar, toNear)).toBeLessThan(64_000);
    expect((await bed.far.docker("run", "--rm", `${name}:v2`)).stdout).toBe(`${name} v2`);
    expect(await changes()).toEqual([
      { came: [], went: [] },
      { came: [`${name}:v1`, `${name}:v2`], went: [] },
    ]);
  });

  test("sends neither layers built on both sides nor a present image", async () => {
    const layers = [{ name: "twice", bytes: MB }];
    for (const engine of [bed.near, bed.far]) await buildImage(engine, "twice:v1", layers);
    await buildImage(bed.near, "twice:v2", layers);
    const second = await dos(["push", "twice:v2", "ssh", "far", "docker-over-ssh pull twice:v2"]);
    expect(second.stderr).toContain("for 1 layer, 2 layers");
    const wire = await bed.countWire();
    const again = await dos(["push", "twice:v2", "ssh", "far", "docker-over-ssh pull twice:v2"]);
    expect(again).toEqual(done);
    expect(again.stderr).toContain("for 0 layers, 3 layers");
    expect((await wire()).toFar).toBeLessThan(30_000);
    expect((await bed.far.docker("run", "--rm", "twice:v2")).stdout).toBe("twice v2");
  });

  test("sends an image that contains the same layer twice", async () => {
    const layer = { name: "again", bytes: 1000 };
    await buildImage(bed.near, "again:v1", [layer, { name: "between", bytes: 1000 }, layer]);
    const diffIds = (await bed.near.docker("inspect", "--format", "{{json .RootFS.Layers}}", "again:v1")).stdout;
    expect(new Set(JSON.parse(diffIds) as string[]).size).toBe(4);
    expect(await dos(["push", "again:v1", "ssh", "far", "docker-over-ssh pull again:v1"])).toEqual(done);
    expect((await bed.far.docker("run", "--rm", "again:v1")).stdout).toBe("again v1");
  });

  test("exports a large image that has never been pushed with docker save", async () => {
    await buildImage(bed.near, "saved:v1", [
      { name: "large", bytes: 70 * MB, files: 20, content: "text" },
      { name: "small", bytes: MB },
    ]);
    const run = await dos(["push", "--verbose", "saved:v1", "ssh", "far", "docker-over-ssh pull saved:v1"]);
    expect(run).toEqual(done);
    expect(run.stderr).toContain("reading `docker save`");
    expect((await bed.far.docker("run", "--rm", "saved:v1")).stdout).toBe("saved v1");
  });

  test.each([
    ["a shell", ["sh", "-c", 'ssh far "docker-over-ssh pull $0"']],
    ["two ssh hops", ["ssh", "far", "ssh far-again docker-over-ssh pull $0"]],
    ["a login shell that prints on stdout", ["ssh", "noisy", "docker-over-ssh pull $0"]],
  ])("through %s", async (name, command) => {
    const image = `through:${name.replaceAll(" ", "-")}`;
    await bed.near.docker("tag", "app:v2", image);
    const words = command[0] === "sh" ? [...command, image] : command.map((word) => word.replace("$0", image));
    const run = await dos(["push", image, ...words]);
    expect(run).toEqual(done);
    expect((await bed.far.docker("run", "--rm", image)).stdout).toBe("app v2");
  });

  test("through docker exec -i", async () => {
    await using host = await startExecHost(bed, { on: bed.far });
    await bed.near.docker("tag", "app:v1", "exec:v1");
    const far = ["docker", "-H", bed.far.host, "exec", "-i", host.name, "docker-over-ssh", "pull", "exec:v1"];
    expect(await dos(["push", "exec:v1", ...far])).toEqual(done);
    expect((await bed.far.docker("run", "--rm", "exec:v1")).stdout).toBe("app v1");
  });

  // There is no Kubernetes. A stand-in for kubectl passes the arguments on to `docker exec`, as kubectl does to the container runtime.
  test("docker://CONTAINER and kubectl://NAMESPACE/POD reach a container, in which docker-over-ssh is installed, or to which it is sent", async () => {
    await using host = await startExecHost(bed, { on: bed.near, to: bed.far });
    const bin = mkdtempSync(join(tmpdir(), "dos-kubectl-"));
    const kubectl = `[ "$1 $2 $3 $4 $6" = "exec -i -n team --" ] || exit 1; pod="$5"; shift 6; exec docker exec -i "$pod" "$@"`;
    writeFileSync(join(bin, "kubectl"), `#!/bin/sh\n${kubectl}\n`, { mode: 0o755 });
    const env = { PATH: `${bin}:${bed.env["PATH"]}` };
    for (const [far, address, image] of [
      ["installed", `docker://${host.name}`, "container:v1"],
      ["node", `docker://${host.name}`, "container:v2"],
      ["node", `kubectl://team/${host.name}`, "pod:v1"],
    ] as const) {
      await bed.near.docker("tag", "app:v1", image);
      const run = await dos(["push", "--verbose", "--far", far, image, address], { env });
      expect(run).toEqual(done);
      expect(run.stderr).toContain(`remote side: trying ${far} (`);
      expect((await bed.far.docker("run", "--rm", image)).stdout).toBe("app v1");
    }
    rmSync(bin, { recursive: true });
  });

  test("--quiet prints nothing, --verbose prints the steps", async () => {
    const far = ["ssh", "far", "docker-over-ssh pull app:v2"];
    expect(await dos(["push", "--quiet", "app:v2", ...far])).toMatchObject({ exitCode: 0, stderr: "", stdout: "" });
    const verbose = await dos(["push", "--verbose", "app:v2", ...far]);
    expect(verbose.stderr).toContain("offering 0 of 4 layers of docker.io/library/app:v2 for linux/amd64");
  });
});

describe.skipIf(why)("an image arrives under exactly the requested name", () => {
  test.each([
    "name-only",
    "team/group/app",
    "registry.example.com/team/app:v2",
    "registry.example.com:8443/a/b/c/d:1.0_x-y",
    "localhost:5000/app:v1",
  ])("%s", async (name) => {
    await bed.near.docker("tag", "app:v1", name);
    const changes = await rememberEngines(bed.near, bed.far);
    expect(await dos(["push", name, "ssh", "far", `docker-over-ssh pull ${name}`])).toEqual(done);
    const arrived = name.includes(":") && !name.endsWith("/app") ? name : `${name}:latest`;
    expect(await changes()).toEqual([
      { came: [], went: [] },
      { came: [arrived], went: [] },
    ]);
  });

  test("a digest with a tag: the image arrives under the tag", async () => {
    await using registry = await startRegistry(bed.near);
    const name = `${registry.host}/pinned:v1`;
    await bed.near.docker("tag", "app:v1", name);
    await bed.near.docker("push", "--quiet", name);
    const digest = (await bed.near.listing()).references.find((found) => found.startsWith(`${registry.host}/pinned@`));
    const pinned = `${name}@${digest?.split("@")[1]}`;
    expect(await dos(["push", pinned, "ssh", "far", `docker-over-ssh pull ${pinned}`])).toEqual(done);
    expect((await bed.far.docker("run", "--rm", name)).stdout).toBe("app v1");
  });

  test("rejects a digest alone before anything is sent, with a hint", async () => {
    const changes = await rememberEngines(bed.near, bed.far);
    const name = `app@sha256:${"ab".repeat(32)}`;
    const run = await dos(["pull", name, "ssh", "far", `docker-over-ssh push ${name}`]);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain(`Add a tag: app:TAG@sha256:`);
    expect(await changes()).toEqual(unchanged(2));
  });
});
