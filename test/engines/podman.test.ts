import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { done, dos, rememberEngines, unchanged, why, type Run } from "./bed.ts";

/** A test bed with Docker 20.10 on the near machine and Podman 4.3 on the far machine. */
let mixed: Testbed;
let docker: Engine;
let podman: Engine;

beforeAll(async () => {
  if (why) return;
  mixed = await startTestbed({ far: { kind: "podman" } });
  ({ near: docker, far: podman } = mixed);
  for (const tag of ["v1", "v2"]) await buildImage(docker, `app:${tag}`, [{ name: "data", bytes: 1_000_000 }]);
});

afterAll(async () => await mixed?.[Symbol.asyncDispose]());

const run = async (...args: string[]): Promise<Run> => await dos(args, { on: mixed });
/** `push` sends from Docker to Podman, `pull` from Podman to Docker. */
const push = async (image: string, via = "load"): Promise<Run> =>
  await run("push", image, "ssh", "far", `docker-over-ssh pull --via ${via} ${image}`);
const pull = async (image: string): Promise<Run> =>
  await run("pull", "--verbose", image, "ssh", "far", `docker-over-ssh push --verbose ${image}`);

/** Returns the config digest and the diff IDs, which are equal on both engines. */
async function identity(engine: Engine, image: string): Promise<unknown> {
  const { stdout } = await engine.docker(
    "inspect",
    "--format",
    '{"id":"{{.Id}}","layers":{{json .RootFS.Layers}}}',
    image,
  );
  return JSON.parse(stdout);
}

/** Runs an image by the name that was given to docker-over-ssh. */
async function expectToRun(image: string, greeting: string): Promise<void> {
  expect((await podman.podman("run", "--rm", image)).stdout).toBe(greeting);
  expect((await podman.docker("run", "--rm", image)).stdout).toBe(greeting);
}

/** Returns the new image names, without those that Podman derives from the manifest digest. */
async function cameTo(changes: () => Promise<unknown>): Promise<string[]> {
  const [source, target] = (await changes()) as { came: string[]; went: string[] }[];
  const given = (names: string[] = []): string[] => names.filter((name) => !name.includes("@sha256:"));
  expect(source).toEqual({ came: [], went: [] });
  expect(given(target?.went)).toEqual([]);
  return given(target?.came);
}

describe.skipIf(why)(`Podman ${why ?? ""}`, () => {
  test.each(["load", "pull"])("an image arrives by %s, and the second version sends one layer", async (via) => {
    const [v1, v2] = ["v1", "v2"].map((tag) => `by-${via}:${tag}`) as [string, string];
    for (const image of [v1, v2]) await buildImage(docker, image, [{ name: `by-${via}`, bytes: 3_000_000 }]);
    const changes = await rememberEngines(docker, podman);
    const first = await push(v1, via);
    expect(first).toEqual(done);
    expect(first.stderr).toContain("for 3 layers, 0 layers");
    const wire = await mixed.countWire();
    const second = await push(v2, via);
    expect(second).toEqual(done);
    expect(second.stderr).toMatch(/for 1 layer, 2 layers.* already present/);
    const { toFar, toNear } = await wire();
    expect(Math.max(toFar, toNear)).toBeLessThan(64_000);
    expect(await cameTo(changes)).toEqual([`docker.io/library/${v1}`, `docker.io/library/${v2}`]);
    await expectToRun(v1, `by-${via} v1`);
    expect(await identity(podman, v2)).toEqual(await identity(docker, v2));

    // The second version is complete without the first one.
    await podman.podman("rmi", v1);
    await expectToRun(v2, `by-${via} v2`);
    const { layers } = (await identity(podman, v2)) as { layers: string[] };
    const saved = join(mixed.folder, `${via}.tar`);
    await podman.podman("save", "--output", saved, v2);
    for (const diffId of layers) {
      const { stdout } = await execa("sh", ["-c", 'tar -xOf "$0" "$1.tar" | sha256sum', saved, diffId.slice(7)]);
      expect(`sha256:${stdout.split(" ")[0]}`).toBe(diffId);
    }
  });

  test.each([
    ["name-only", "docker.io/library/name-only:latest"],
    ["registry.example.com/team/app:v1", "registry.example.com/team/app:v1"],
    ["localhost/app:v1", "localhost/app:v1"],
  ])("lists %s as %s, and runs it by the given name", async (name, listed) => {
    await docker.docker("tag", "app:v1", name);
    const changes = await rememberEngines(docker, podman);
    expect(await push(name)).toEqual(done);
    expect(await cameTo(changes)).toEqual([listed]);
    await expectToRun(name, "app v1");
    await podman.podman("rmi", name);
    expect(await changes()).toEqual(unchanged(2));
  });

  test("an arriving image takes its short name over from an image that Podman has built", async () => {
    await buildImage(podman, "short:v0", [{ name: "short", bytes: 1000 }]);
    await podman.podman("tag", "short:v0", "localhost/short:v1");
    await docker.docker("tag", "app:v1", "short:v1");
    const changes = await rememberEngines(docker, podman);
    expect(await push("short:v1")).toEqual(done);
    await expectToRun("short:v1", "app v1");
    expect(await cameTo(changes)).toEqual([]);
  });

  test("sends an image by the name that Podman gave it, and one layer of the second version", async () => {
    for (const tag of ["v1", "v2"]) {
      await buildImage(podman, `leaving:${tag}`, [{ name: "leaving", bytes: 3_000_000 }]);
      await podman.podman("tag", `leaving:${tag}`, `localhost/built:${tag}`);
    }
    const changes = await rememberEngines(podman, docker);
    expect(await pull("built:v1")).toEqual(done);
    const wire = await mixed.countWire();
    const second = await pull("built:v2");
    expect(second).toEqual(done);
    expect(second.stderr).toContain("for 1 layer, 2 layers");
    expect((await wire()).toNear).toBeLessThan(64_000);
    expect(await cameTo(changes)).toEqual(["built:v1", "built:v2"]);
    expect((await docker.docker("run", "--rm", "built:v2")).stdout).toBe("leaving v2");
    expect(await identity(docker, "built:v2")).toEqual(await identity(podman, "built:v2"));
    await docker.docker("rmi", "built:v1");
    expect((await docker.docker("run", "--rm", "built:v2")).stdout).toBe("leaving v2");
  });

  test("--keep 2 leaves the image, the one before it, and one that a container uses, also by names that are short to Podman", async () => {
    const namesOf = (tag: string): string[] => [`docker.io/library/keeping:${tag}`, `localhost/keeping:${tag}`];
    for (const tag of ["v1", "v2", "v3"]) {
      await buildImage(podman, `built-here:${tag}`, [{ name: "keeping", bytes: 1000 }]);
      await podman.podman("tag", `built-here:${tag}`, ...namesOf(tag));
      await podman.podman("rmi", `built-here:${tag}`);
    }
    const { stdout: container } = await podman.docker("create", "localhost/keeping:v1");
    const keep = async (...options: string[]) => {
      const as = ["--as", "keeping:v4", "--as", "localhost/keeping:v4"];
      return await run(
        "push",
        "--keep",
        "2",
        ...options,
        ...as,
        "app:v1",
        "ssh",
        "far",
        "docker",
        "system",
        "dial-stdio",
      );
    };
    const names = namesOf("v2").join(", ");
    expect((await keep("--dry-run")).stderr).toMatch(new RegExp(`; --keep would remove ${names}$`, "m"));
    const last = await keep();
    expect(last).toEqual(done);
    expect(last.stderr).toMatch(new RegExp(`; removed ${names} there`));
    const left = (await podman.listing()).references.filter((name) => /\/keeping:/.test(name)).toSorted();
    expect(left).toEqual(["v1", "v3", "v4"].flatMap(namesOf).toSorted());
    await podman.docker("rm", container);
    await podman.podman("rmi", ...left);
  });

  test("alone at the remote side accepts no gzip: rejects --compress gzip, and changes nothing", async () => {
    const changes = await rememberEngines(docker, podman);
    const push = ["push", "--compress", "gzip:9", "app:v1", "ssh", "far", "docker", "system", "dial-stdio"];
    const refused = await run(...push);
    expect(refused).toMatchObject({ exitCode: 2, stdout: "" });
    expect(refused.stderr).toContain("--compress gzip:9: the remote engine is Podman");
    expect(await changes()).toEqual(unchanged(2));
  });

  test("-H selects Podman on either side; if Podman cannot reach this process, it exports with docker save", async () => {
    const image = "chosen:v1";
    await buildImage(podman, image, [{ name: "chosen", bytes: 1_000_000 }]);
    const changes = await rememberEngines(podman, docker);
    const there = ["sh", "-c", `docker-over-ssh pull -H ${docker.host} ${image}`];
    const sent = await run("push", "--verbose", "-H", podman.host, image, ...there);
    expect(sent).toEqual(done);
    expect(sent.stderr).toContain("reading `docker save`");
    expect(await cameTo(changes)).toEqual([image]);
    expect(await identity(docker, image)).toEqual(await identity(podman, image));

    await podman.docker("rmi", image);
    const back = ["sh", "-c", `docker-over-ssh push -H ${docker.host} ${image}`];
    expect(await dos(["pull", image, ...back], { on: mixed, env: { DOCKER_HOST: podman.host } })).toEqual(done);
    await expectToRun(image, "chosen v1");
  });

  test("pushes to this process although Podman requires TLS of all registries, which is its default", async () => {
    await podman.stop();
    await writeFile(join(mixed.folder, "far/podman/registries.conf"), "");
    await podman.start();
    await buildImage(podman, "strict:v1", [{ name: "strict", bytes: 1_000_000 }]);
    const sent = await pull("strict:v1");
    expect(sent).toEqual(done);
    expect(sent.stderr).not.toContain("reading `docker save`");
    expect((await docker.docker("run", "--rm", "strict:v1")).stdout).toBe("strict v1");
  });
});
