import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openArchive } from "../../src/image/open/open-archive.ts";
import { buildImage } from "../testbed/build-image.ts";
import { registryImage } from "../testbed/registry-image.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { done, dos, rememberEngines, unchanged, why } from "./bed.ts";
import { parseArchivedName } from "../../src/image/archived-name.ts";

/** The engines: one with a containerd store, the other a later version with a graph driver. */
let mixed: Testbed;

beforeAll(async () => {
  if (why) return;
  mixed = await startTestbed({ near: { kind: "28.5-containerd" }, far: { kind: "26.1" } });
  for (const engine of [mixed.near, mixed.far]) await registryImage(engine);
});

afterAll(async () => await mixed?.[Symbol.asyncDispose]());

describe.skipIf(why)(`engines of different versions and stores ${why ?? ""}`, () => {
  test.each([
    ["pull", "back", "near"],
    ["push", "there", "far"],
  ] as const)(
    "%s: the image runs %s, the second version sends one layer, and nothing else is left",
    async (verb, name, arrivesOn) => {
      const [from, to] = arrivesOn === "far" ? [mixed.near, mixed.far] : [mixed.far, mixed.near];
      for (const tag of ["v1", "v2"]) await buildImage(from, `${name}:${tag}`, [{ name: "data", bytes: 4_000_000 }]);
      const changes = await rememberEngines(from, to);
      const other = verb === "push" ? "pull" : "push";
      const line = (tag: string): string[] => [
        verb,
        `${name}:${tag}`,
        "ssh",
        "far",
        `docker-over-ssh ${other} ${name}:${tag}`,
      ];
      expect(await dos(line("v1"), { on: mixed })).toEqual(done);

      const wire = await mixed.countWire();
      const second = await dos(line("v2"), { on: mixed });
      const { toFar, toNear } = await wire();
      expect(second).toEqual(done);
      expect(second.stderr).toMatch(/for 1 layer, 2 layers.* already present/);
      expect(toFar).toBeLessThan(64_000);
      expect(toNear).toBeLessThan(64_000);

      expect((await to.docker("run", "--rm", `${name}:v2`)).stdout).toBe(`${name} v2`);
      // A containerd store also lists each image under its digest.
      const own = (listed: string): boolean => listed.startsWith(`${name}:`) || listed.startsWith(`${name}@`);
      const [source, target] = (await changes()) as { came: string[]; went: string[] }[];
      expect(source).toEqual({ came: [], went: [] });
      expect(target?.came.filter((listed) => !own(listed))).toEqual([]);
      expect(target?.went).toEqual([]);
    },
  );

  test("does not send layers that a containerd store has as different blobs, and the image is complete", async () => {
    // The receiver has the layers with other compressed digests than the sender, which confuses an engine pull.
    const image = "built-on-both:v1";
    for (const engine of [mixed.near, mixed.far]) {
      await buildImage(engine, image, [{ name: "both", bytes: 1_000_000 }]);
    }
    const line = ["ssh", "far", `docker-over-ssh push ${image}`];
    const changes = await rememberEngines(mixed.near, mixed.far);
    const byPull = await dos(["pull", "--via", "pull", image, ...line], { on: mixed });
    expect(byPull.exitCode).toBe(12);
    expect(byPull.stderr).toContain("it has some of the layers as other blobs");
    expect(await changes()).toEqual(unchanged(2));
    expect((await mixed.near.docker("run", "--rm", image)).stdout).toBe("built-on-both v1");

    const byLoad = await dos(["pull", image, ...line], { on: mixed });
    expect(byLoad).toEqual(done);
    expect(byLoad.stderr).toContain("for 0 layers, 3 layers");
    expect((await mixed.near.docker("run", "--rm", image)).stdout).toBe("built-on-both v1");
    const saved = await mixed.near.docker("save", "--output", join(mixed.folder, "saved.tar"), image);
    expect(saved.stderr).toBe("");
    await using archive = await openArchive("oci-archive", join(mixed.folder, "saved.tar"));
    const { layers } = await archive.find(parseArchivedName(image));
    expect(layers).toHaveLength(3);
  });
});
