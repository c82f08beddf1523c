import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import { startExecHost } from "../testbed/exec-host.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { bed, done, dos, rememberEngines, unchanged, why } from "./bed.ts";
import { connections, DIAL, env, folder, layers, MB } from "./engine-only-images.ts";

describe.skipIf(why)(`an engine alone at the remote side ${why ?? ""}`, () => {
  /** MB that the dry run has estimated. */
  let planned: number;

  test("push --dry-run: nothing changes", async () => {
    const changes = await rememberEngines(bed.near, bed.far);
    const wire = await bed.countWire();
    const run = await dos(["push", "--dry-run", "engine-only:v1", ...DIAL], { env });
    expect(run).toEqual(done);
    expect((await wire()).toFar).toBeLessThan(64_000);
    planned = Number(/^to send: ~([\d.]+) MB$/m.exec(run.stderr)?.[1]);
    expect(run.stderr).toMatch(/^receiver: an engine with a classic store; remote side: the engine alone$/m);
    expect(await changes()).toEqual(unchanged(2));
  });

  test("push: sends within 15 % of the bytes that the dry run has estimated; the image runs there, nothing else is left behind, and ssh runs once", async () => {
    const changes = await rememberEngines(bed.near, bed.far);
    const run = await dos(["push", "engine-only:v1", ...DIAL], { env });
    expect(run).toEqual(done);
    const [, sent] =
      /^pushed engine-only:v1: ([\d.]+) MB sent for \d layers?, .* already present, in /m.exec(run.stderr) ?? [];
    expect(Math.abs(Number(sent) - planned) / Number(sent)).toBeLessThan(0.15);
    expect((await bed.far.docker("run", "--rm", "engine-only:v1")).stdout).toBe("engine-only v1");
    expect(connections()).toBe(1);
    expect(await changes()).toEqual([
      { came: [], went: [] },
      { came: ["engine-only:v1"], went: [] },
    ]);
  });

  test("a second version sends only the changed layer, counted on the wire", async () => {
    const wire = await bed.countWire();
    const run = await dos(["push", "--verbose", "engine-only:v2", ...DIAL], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/sent for 1 layer, 2 layers already present/);
    expect(run.stderr).toContain("missing layers are sent whole: one side is an engine alone");
    // In the other direction, the engine describes all its images, and other test files leave some in it.
    expect((await wire()).toFar).toBeLessThan(64_000);
    expect((await bed.far.docker("run", "--rm", "engine-only:v2")).stdout).toBe("engine-only v2");
    expect(connections()).toBe(1);
  });

  test("pull: fetches the image from the remote engine with one run of ssh", async () => {
    await bed.near.docker("tag", "engine-only:v1", "fetched:v1");
    await dos(["push", "fetched:v1", ...DIAL]);
    await bed.near.docker("rmi", "fetched:v1");
    const changes = await rememberEngines(bed.near, bed.far);
    const run = await dos(["pull", "fetched:v1", ...DIAL], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/^pulled fetched:v1: .* received for 0 layers, 3 layers.* already present/m);
    expect(connections()).toBe(1);
    expect(await changes()).toEqual([
      { came: ["fetched:v1"], went: [] },
      { came: [], went: [] },
    ]);
  });

  test("pull: fetches missing layers whole", async () => {
    await buildImage(bed.far, "only-there:v1", [{ name: "only-there", bytes: MB, files: 3 }]);
    const wire = await bed.countWire();
    const plan = await dos(["pull", "--dry-run", "only-there:v1", ...DIAL], { env });
    expect(plan).toEqual(done);
    expect(plan.stderr).toMatch(/^to send: ~(?:[\d.]+) MB$/m);
    // A dry run takes the sizes of the layers from the image's history, and reads no layer over the link.
    expect((await wire()).toNear).toBeLessThan(MB / 4);
    rmSync(join(folder, "log"));
    expect(await dos(["pull", "only-there:v1", ...DIAL], { env })).toEqual(done);
    expect((await bed.near.docker("run", "--rm", "only-there:v1")).stdout).toBe("only-there v1");
    expect(connections()).toBe(1);
  });

  test("sends missing layers whole, and prints the reason, if -H is ssh://", async () => {
    const own = (changedFiles: number): LayerSpec[] => [{ name: "fetched-behind", bytes: MB, files: 10, changedFiles }];
    await buildImage(bed.far, "fetched-behind:v1", own(0));
    await buildImage(bed.near, "fetched-behind:v2", own(1));
    const pull = ["docker-over-ssh", "pull", "--verbose", "-H", "ssh://far", "fetched-behind:v2"];
    const run = await dos(["push", "fetched-behind:v2", ...pull], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toContain("missing layers are sent whole: all requests to the engine share one connection");
    expect((await bed.far.docker("run", "--rm", "fetched-behind:v2")).stdout).toBe("fetched-behind v2");
  });

  test("works through a login shell that prints on stdout", async () => {
    const run = await dos(["push", "engine-only:v1", "ssh", "noisy", "docker system dial-stdio"], { env });
    expect(run).toEqual(done);
  });

  test("sends an image from an archive", async () => {
    const file = join(folder, "engine-only.tar");
    await bed.near.docker("save", "--output", file, "engine-only:v2");
    const run = await dos(["push", `docker-archive:${file}:engine-only:v2`, ...DIAL], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toContain("3 layers already present");
    expect(connections()).toBe(1);
  });

  test("works through docker exec -i", async () => {
    await using host = await startExecHost(bed, { on: bed.far });
    await bed.near.docker("tag", "engine-only:v1", "engine-only-exec:v1");
    const far = ["docker", "-H", bed.far.host, "exec", "-i", host.name, "docker", "system", "dial-stdio"];
    expect(await dos(["push", "engine-only-exec:v1", ...far])).toEqual(done);
    expect((await bed.far.docker("run", "--rm", "engine-only-exec:v1")).stdout).toBe("engine-only v1");
  });
});

describe.skipIf(why).each(["26.1-containerd", "28.5-containerd"] as const)(
  "with a remote engine of the kind %s",
  (kind) => {
    let other: Testbed;
    beforeAll(async () => {
      other = await startTestbed({ far: { kind } });
      for (const tag of ["v1", "v2", "v3"]) await buildImage(other.near, `app:${tag}`, layers);
    });
    afterAll(async () => await other[Symbol.asyncDispose]());

    test("a second version sends only the changed layer, although no API lists the store's blobs", async () => {
      expect(await dos(["push", "app:v1", ...DIAL], { on: other })).toEqual(done);
      const changes = await rememberEngines(other.far);
      const wire = await other.countWire();
      const run = await dos(["push", "app:v2", ...DIAL], { on: other });
      expect(run).toEqual(done);
      expect(run.stderr).toMatch(/sent for 1 layer, 2 layers/);
      expect((await wire()).toFar).toBeLessThan(64_000);
      expect((await other.far.docker("run", "--rm", "app:v2")).stdout).toBe("app v2");
      expect(await changes()).toMatchObject([{ went: [] }]);
      expect((await other.far.listing()).references.filter((name) => name.includes("docker-over-ssh"))).toEqual([]);
    });

    test("a pull fetches only missing layers", async () => {
      await other.near.docker("rmi", "app:v2");
      const changes = await rememberEngines(other.far);
      const wire = await other.countWire();
      expect(await dos(["pull", "app:v2", ...DIAL], { on: other })).toEqual(done);
      expect((await wire()).toNear).toBeLessThan(64_000);
      expect((await other.near.docker("run", "--rm", "app:v2")).stdout).toBe("app v2");
      expect(await changes()).toEqual(unchanged(1));
    });
  },
);
