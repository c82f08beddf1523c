/** Unusual images in engines: without a name, for no platform or a foreign one, with very many layers. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { caseImages } from "../matrix/case-image.ts";
import { buildImage } from "../testbed/build-image.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { configFor, dockerManifest, type TestImage } from "../unit/image/make-image.ts";
import { makeTar } from "../unit/image/tar/make-tar.ts";
import { digestOf, hexOf } from "../../src/image/digest.ts";
import { look, writeTar } from "../unit/command-line/images.ts";
import { bed, done, dos, rememberEngines, unchanged, why } from "./bed.ts";
import { at, containerd } from "./containerd-pair.ts";
import { asTest, attestedLayout } from "./layouts.ts";

const [RUNS, FOREIGN] = process.arch === "arm64" ? (["arm64", "amd64"] as const) : (["amd64", "arm64"] as const);

/** Creates a runnable image with changes to its config. */
async function imageWith(repository: string, changes: object, moreLayers: Buffer[] = []): Promise<TestImage> {
  const image = asTest((await caseImages(repository)).v2);
  const layers = [...image.layers, ...moreLayers];
  const config = { ...JSON.parse(image.config.toString()), ...JSON.parse(configFor(layers).config.toString()) };
  return { ...configFor(layers), layers, config: Buffer.from(JSON.stringify({ ...config, ...changes })) };
}

/** Writes a docker archive in the form of older engines. */
async function archive(file: string, name: string, { config, diffIds, layers }: TestImage): Promise<string> {
  const files = diffIds.map((diffId, index) => ({ name: `${hexOf(diffId)}.tar`, content: layers[index] ?? "" }));
  const configName = `${hexOf(digestOf(config))}.json`;
  const manifest = dockerManifest(
    configName,
    files.map((one) => one.name),
    [name],
  );
  await writeTar(at(file), [{ name: configName, content: config }, ...files, manifest]);
  return at(file);
}

const stores: [string, () => Testbed][] = [
  ["a classic store", () => bed],
  ["a containerd store", () => containerd],
];

afterAll(async () => {
  if (why) return;
  for (const engine of [bed.near, bed.far]) {
    const ours = (await engine.listing()).references.filter((name) => name.startsWith("unusual"));
    if (ours.length > 0) await engine.docker("rmi", "--force", ...ours);
  }
});

describe.skipIf(why).each(stores)(
  `an image in %s that has lost its name to a later build ${why ?? ""}`,
  (store, on) => {
    const name = `unusual-${store.split(" ")[1]}`;
    let id: string;

    beforeAll(async () => {
      if (why) return;
      const build = async (seed: string) =>
        await buildImage(on().near, `${name}:v1`, [{ name: "data", bytes: 300_000, seed: `${name}-${seed}` }]);
      id = await build("old");
      await build("new");
    });
    afterAll(async () => {
      if (!why) await on().near.docker("rmi", "--force", id);
    });

    const outputOnFar = async () => (await on().far.docker("run", "--rm", `${name}:there`)).stdout;

    test("is sent by its ID, under the requested name", async () => {
      const line = ["push", id, "ssh", "far", `docker-over-ssh pull ${name}:there`];
      expect(await dos(line, { on: on() })).toEqual(done);
      expect(await outputOnFar()).toBe(`${name} v1`);
      await on().far.docker("rmi", `${name}:there`);
    });

    test.each(["ssh://far", "ssh://bare"])("is sent by the beginning of its ID, with --as, to %s", async (location) => {
      const short = id.slice("sha256:".length, "sha256:".length + 12);
      const run = await dos(["push", "--as", `${name}:there`, short, location], { on: on() });
      expect(run).toEqual(done);
      expect(run.stderr).toContain(`pushed ${short} as ${name}:there: `);
      expect(await outputOnFar()).toBe(`${name} v1`);
      await on().far.docker("rmi", `${name}:there`);
    });

    test.each(["ssh://far", "ssh://bare"])("is fetched by its ID from %s, with --as", async (location) => {
      await dos(["push", "--as", `${name}:there`, id, "ssh://far"], { on: on() });
      const format = "{{.Id}} {{json .RootFS.Layers}}";
      const { stdout } = await on().far.docker("inspect", "--format", format, `${name}:there`);
      const [there = "", diffIds = ""] = stdout.split(" ");
      const layout = at(`${name}-${location.slice("ssh://".length)}`);
      const line = ["pull", "--as", `${name}:back`, "--to", `oci:${layout}`, there, location];
      expect(await dos(line, { on: on() })).toEqual(done);
      expect(await look("oci", layout, `${name}:back`)).toMatchObject({ diffIds: JSON.parse(diffIds), faults: [] });
      await on().far.docker("rmi", `${name}:there`);
    });

    test("requires a name at the receiver", async () => {
      const changes = await rememberEngines(on().near, on().far);
      const short = id.slice("sha256:".length, "sha256:".length + 12);
      for (const [given, exitCode] of [
        [id, 2],
        [short, 13],
      ] as const) {
        const run = await dos(["push", given, "ssh://far"], { on: on() });
        expect(run).toMatchObject({ exitCode });
        expect(run.stderr).toContain("--as NAME");
      }
      expect(await changes()).toEqual(unchanged(2));
    });

    test("is still present afterwards", async () => {
      expect((await on().near.docker("run", "--rm", id)).stdout).toBe(`${name} v1`);
    });
  },
);

describe.skipIf(why)("an image for no platform, or a foreign one, is sent with a warning", () => {
  test.each(stores.flatMap(([store, on]) => ["", undefined].map((arch) => [store, arch, on] as const)))(
    "from %s, architecture %j",
    async (store, architecture, on) => {
      const name = `unusual-none:${store.split(" ")[1]}-${architecture ?? "left-out"}`;
      const image = await imageWith(name.replace(":", "-"), { architecture });
      await on().near.docker("load", "--input", await archive("none.tar", name, image));
      const run = await dos(["push", name, "ssh", "far", `docker-over-ssh pull ${name}`], { on: on() });
      expect(run).toEqual(done);
      expect(run.stderr).toContain("warning: the image's config does not name its whole platform (linux/unknown)");
      expect((await on().far.docker("run", "--rm", name)).stdout).not.toBe("");
      for (const engine of [on().near, on().far]) await engine.docker("rmi", name);
    },
  );

  test.each(stores)("from %s that has only the foreign variant", async (store, on) => {
    const name = `unusual-foreign:${store.split(" ")[1]}`;
    const image = await imageWith(name.replace(":", "-"), { architecture: FOREIGN });
    if (on() === bed) await bed.near.docker("load", "--input", await archive("foreign.tar", name, image));
    else {
      const own = asTest((await caseImages("unusual-own")).v2);
      const both = { [`linux/${RUNS}`]: own, [`linux/${FOREIGN}`]: image };
      await writeTar(at("both.tar"), attestedLayout(both, name, [`linux/${RUNS}`]));
      await containerd.near.docker("load", "--input", at("both.tar"));
    }
    const run = await dos(["push", name, "ssh", "far", `docker-over-ssh pull ${name}`], { on: on() });
    expect(run).toEqual(done);
    expect(run.stderr).toContain(`warning: the image is for linux/${FOREIGN}, and this engine runs linux/${RUNS}`);
    const { stdout } = await on().far.docker("inspect", "--format", "{{.Architecture}} {{.RootFS.Layers}}", name);
    expect(stdout).toBe(`${FOREIGN} [${image.diffIds.join(" ")}]`);
    for (const engine of [on().near, on().far]) await engine.docker("rmi", name);
  });
});

describe.skipIf(why)("an image of 126 layers", () => {
  let file: string;
  beforeAll(async () => {
    if (why) return;
    const more = Array.from({ length: 121 }, async (_, index) => await makeTar([{ name: `f${index}`, content: "x" }]));
    const image = await imageWith("unusual-many", {}, await Promise.all(more));
    expect(image.layers).toHaveLength(126);
    file = await archive("many.tar", "unusual-many:v1", image);
  });
  const push = async (on: Testbed) =>
    await dos(["push", `docker-archive:${file}`, "ssh", "far", "docker-over-ssh pull unusual-many:v1"], { on });

  test("is rejected for a classic store before anything is sent", async () => {
    const changes = await rememberEngines(bed.far);
    const wire = await bed.countWire();
    const run = await push(bed);
    expect(run).toMatchObject({ exitCode: 13, stdout: "" });
    expect(run.stderr).toContain("the image has 126 layers, and the classic store of ");
    expect(run.stderr).toContain("takes at most 125");
    expect((await wire()).toFar).toBeLessThan(64_000);
    expect(await changes()).toEqual(unchanged(1));
  });

  test("is accepted by a containerd store, and runs", async () => {
    expect(await push(containerd)).toEqual(done);
    expect((await containerd.far.docker("run", "--rm", "unusual-many:v1")).stdout).not.toBe("");
  });
});
