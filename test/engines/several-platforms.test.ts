import { join } from "node:path";
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import type { Index } from "../../src/image/manifest.ts";
import { caseImages } from "../matrix/case-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { configFor, type TestImage } from "../unit/image/make-image.ts";
import { look, whole, writeTar } from "../unit/command-line/images.ts";
import { bed, done, dos, rememberEngines, unchanged, why } from "./bed.ts";
import { at, containerd } from "./containerd-pair.ts";
import { asBuildx, asTest, attestedLayout } from "./layouts.ts";

/** This machine's platform, and a foreign one. */
const [RUNS, OTHER] = process.arch === "arm64" ? (["arm64", "amd64"] as const) : (["amd64", "arm64"] as const);

/** The variants of an index, by where they run. */
interface Variants {
  name: string;
  runs: TestImage;
  other: TestImage;
  prints: string;
}

/** Loads an index of variants that share layers. The variant that runs here is not the first. */
async function load(engine: Engine, repository: string, absent: string[] = []): Promise<Variants> {
  const { v1, v2, prints } = await caseImages(repository);
  const { layers } = asTest(v1);
  const other = { layers, ...configFor(layers, { architecture: OTHER }) };
  const index = { [`linux/${OTHER}`]: other, [`linux/${RUNS}`]: asTest(v2) };
  await writeTar(at("index.tar"), attestedLayout(index, v2.name, absent));
  await engine.docker("load", "--input", at("index.tar"));
  return { name: v2.name, runs: asTest(v2), other, prints };
}

async function saved(engine: Engine, name: string): Promise<unknown> {
  await engine.docker("save", "--output", at("saved.tar"), name);
  return await look("docker-archive", at("saved.tar"));
}

describe.skipIf(why).each([
  ["28.5", "near", "far"],
  ["26.1", "far", "near"],
] as const)(`an index with attestations in the containerd store of %s ${why ?? ""}`, (version, side, otherSide) => {
  let image: Variants;
  /** As after `docker pull`: the index names all variants, and only the one that runs here is present. */
  let pulled: Variants;

  beforeAll(async () => {
    if (why) return;
    image = await load(containerd[side], `platforms-${version}`);
    pulled = await load(containerd[side], `pulled-${version}`, [`linux/${OTHER}`]);
  });

  /** Sends from the engine's machine to `to`. */
  async function send(name: string, to: string[], ...options: string[]) {
    const push = ["docker-over-ssh", "push", ...options, name];
    return await dos(["pull", ...to, name, ...(side === "far" ? ["ssh", "far"] : []), ...push], { on: containerd });
  }

  test.each([
    ["another containerd store", () => containerd[otherSide]],
    ["a graph driver", () => bed.near],
  ])("sent to %s: the variant that runs there arrives complete, and runs", async (_, engineOf) => {
    const [{ name, runs, prints }, engine] = [image, engineOf()];
    expect(await send(name, ["-H", engine.host])).toEqual(done);
    expect((await engine.docker("run", "--rm", name)).stdout).toBe(prints);
    expect(await saved(engine, name)).toEqual(whole(runs));
    await engine.docker("rmi", name);
  });

  test.each([
    ["whole", () => image],
    ["as docker pull leaves it", () => pulled],
  ])("%s, sent to a folder: the variant that runs on the sender", async (_, which) => {
    const { name, runs } = which();
    const path = at(name.replace(":", "-"));
    expect(await send(name, ["--to", `oci:${path}`])).toEqual(done);
    expect(await look("oci", path, name)).toEqual(whole(runs));
  });

  test("--preserve-digest: the variant's manifest arrives byte for byte", async () => {
    const { name, runs } = image;
    const path = at(`kept-${version}`);
    expect(await send(name, ["--preserve-digest", "--to", `oci:${path}`])).toEqual(done);
    const index = JSON.parse(readFileSync(join(path, "index.json"), "utf8")) as Index;
    expect(index.manifests[0]?.digest).toBe(asBuildx(runs).descriptor.digest);
  });

  test.runIf(version === "28.5")(
    "--platform, on either side, selects the variant, and warns when it does not run there",
    async () => {
      const { name, other } = image;
      const platform = ["--platform", `linux/${OTHER}`];
      const run = await send(name, ["-H", bed.near.host], ...platform);
      expect(run).toEqual(done);
      expect(run.stderr).toContain(`warning: the image is for linux/${OTHER}, and this engine runs linux/${RUNS}`);
      expect(await saved(bed.near, name)).toEqual(whole(other));
      await bed.near.docker("rmi", name);
      expect(await send(name, ["--to", `oci:${at("other")}`, ...platform])).toEqual(done);
      expect(await look("oci", at("other"), name)).toEqual(whole(other));
    },
  );

  test.each([
    ["that the index does not name", "linux/s390x", () => image],
    ["whose content is missing", `linux/${OTHER}`, () => pulled],
    // The API lists other variants than the engine's own from 1.49 on.
    ...(version === "26.1" ? [["that the API does not list", `linux/${OTHER}`, () => image] as const] : []),
  ] as const)("--platform %s is an error, and nothing changes", async (_, platform, which) => {
    const { name } = which();
    const changes = await rememberEngines(containerd[side], bed.near);
    const run = await send(name, ["-H", bed.near.host], "--platform", platform);
    expect(run).toMatchObject({ exitCode: 3, stdout: "" });
    expect(run.stderr).toContain(`${name} is here for linux/${RUNS}, not for ${platform}`);
    expect(await changes()).toEqual(unchanged(2));
  });
});
