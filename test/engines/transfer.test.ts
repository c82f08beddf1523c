import { beforeAll, describe, expect, test } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import { startExecHost } from "../testbed/exec-host.ts";
import { bed, done, dos, rememberEngines, unchanged, why } from "./bed.ts";
import { startRegistry } from "./registry.ts";

const MB = 1_000_000;
/** Random, so that compressed sizes are these sizes: 8 MB below, a small layer on top. */
const layers: LayerSpec[] = [
  { name: "libraries", bytes: 6 * MB, files: 40 },
  { name: "modules", bytes: 2 * MB, files: 400 },
];

describe.skipIf(why)(`one line moves an image from one engine to another ${why ?? ""}`, () => {
  beforeAll(async () => {
    for (const tag of ["v1", "v2"]) await buildImage(bed.near, `app:${tag}`, layers);
  });

  test("over ssh: the image runs there, and nothing else is left on either side", async () => {
    const changes = await rememberEngines(bed.near, bed.far);
    const run = await dos(["push", "app:v1", "ssh", "far", "docker-over-ssh pull app:v1"]);
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/^pushed app:v1: .* sent for 4 layers, 0 layers \(0 B\) there already, in /m);
    expect((await bed.far.docker("run", "--rm", "app:v1")).stdout).toBe("app v1");
    expect(await changes()).toEqual([
      { came: [], went: [] },
      { came: ["app:v1"], went: [] },
    ]);
  });

  test("a second version sends the layer that changed, and no other: counted on the wire", async () => {
    const wire = await bed.countWire();
    const run = await dos(["push", "app:v2", "ssh", "far", "docker-over-ssh pull app:v2"]);
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/sent for 1 layer, 3 layers \(.*\) there already/);
    const { toFar, toNear } = await wire();
    expect(toFar).toBeGreaterThan(500);
    expect(toFar).toBeLessThan(64_000);
    expect(toNear).toBeLessThan(64_000);
    expect((await bed.far.docker("run", "--rm", "app:v2")).stdout).toBe("app v2");
  });

  test("the reverse: pull runs a far push", async () => {
    await bed.near.docker("tag", "app:v1", "back:v1");
    await dos(["push", "back:v1", "ssh", "far", "docker-over-ssh pull back:v1"]);
    await bed.near.docker("rmi", "back:v1");
    // A far push needs a registry image there: the far engine gets it the way it gets everything.
    const registry = await dos(["push", "registry:2", "ssh", "far", "docker-over-ssh pull registry:2"]);
    expect(registry.exitCode).toBe(0);
    const changes = await rememberEngines(bed.near, bed.far);
    const run = await dos(["pull", "back:v1", "ssh", "far", "docker-over-ssh push back:v1"]);
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/^pulled back:v1: .* 4 layers .* there already/m);
    expect(await changes()).toEqual([
      { came: ["back:v1"], went: [] },
      { came: [], went: [] },
    ]);
    await bed.far.docker("rmi", "registry:2");
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

  test("--quiet prints nothing, --verbose says what is done", async () => {
    const far = ["ssh", "far", "docker-over-ssh pull app:v2"];
    expect(await dos(["push", "--quiet", "app:v2", ...far])).toMatchObject({ exitCode: 0, stderr: "", stdout: "" });
    const verbose = await dos(["push", "--verbose", "app:v2", ...far]);
    expect(verbose.stderr).toContain("offering 4 layers of docker.io/library/app:v2 for linux/amd64");
  });
});

describe.skipIf(why)("an image arrives under exactly the name that was asked for", () => {
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

  test("a digest with a tag: the name with the tag", async () => {
    await using registry = await startRegistry(bed.near);
    const name = `${registry.host}/pinned:v1`;
    await bed.near.docker("tag", "app:v1", name);
    await bed.near.docker("push", "--quiet", name);
    const digest = (await bed.near.listing()).references.find((found) => found.startsWith(`${registry.host}/pinned@`));
    const pinned = `${name}@${digest?.split("@")[1]}`;
    expect(await dos(["push", pinned, "ssh", "far", `docker-over-ssh pull ${pinned}`])).toEqual(done);
    expect((await bed.far.docker("run", "--rm", name)).stdout).toBe("app v1");
  });

  test("a digest alone is refused, before anything is sent, with the way out", async () => {
    const changes = await rememberEngines(bed.near, bed.far);
    const name = `app@sha256:${"ab".repeat(32)}`;
    const run = await dos(["pull", name, "ssh", "far", `docker-over-ssh push ${name}`]);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain(`Add a tag: app:TAG@sha256:`);
    expect(await changes()).toEqual(unchanged(2));
  });
});
