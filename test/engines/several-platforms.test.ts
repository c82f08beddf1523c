import { join } from "node:path";
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import type { Index } from "../../src/image/manifest.ts";
import { caseImages } from "../matrix/case-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { configFor, type TestImage } from "../unit/image/make-image.ts";
import { look, readTree, whole, writeTar } from "../unit/command-line/images.ts";
import { bed, done, dos, rememberEngines, unchanged, why } from "./bed.ts";
import { wholeIndex } from "../whole-index.ts";
import { at, containerd } from "./containerd-pair.ts";
import { asBuildx, asTest, attestedLayout } from "./layouts.ts";

/** This machine's platform, and a foreign one. */
const [RUNS, OTHER] = process.arch === "arm64" ? (["arm64", "amd64"] as const) : (["amd64", "arm64"] as const);

/** The variants of an index: the one that runs on this machine, and the other one. */
interface Variants {
  name: string;
  runs: TestImage;
  other: TestImage;
  prints: string;
}

/** Loads an index of variants that share layers. The variant that runs on this machine is not the first one. */
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
  /** As after `docker pull`: the index names all variants, and only the one for this machine is present. */
  let pulled: Variants;

  beforeAll(async () => {
    if (why) return;
    image = await load(containerd[side], `platforms-${version}`);
    pulled = await load(containerd[side], `pulled-${version}`, [`linux/${OTHER}`]);
  });

  /** Sends the image from the engine's machine to `to`. */
  async function send(name: string, to: string[], ...options: string[]) {
    const push = ["docker-over-ssh", "push", ...options, name];
    return await dos(["pull", ...to, name, ...(side === "far" ? ["ssh", "far"] : []), ...push], { on: containerd });
  }

  test.each([
    ["another containerd store", () => containerd[otherSide]],
    ["a graph driver", () => bed.near],
  ])("sent to %s: the variant for that engine arrives complete, and runs", async (_, engineOf) => {
    const [{ name, runs, prints }, engine] = [image, engineOf()];
    expect(await send(name, ["-H", engine.host])).toEqual(done);
    expect((await engine.docker("run", "--rm", name)).stdout).toBe(prints);
    expect(await saved(engine, name)).toEqual(whole(runs));
    await engine.docker("rmi", name);
  });

  test.each([
    ["whole", () => image],
    ["as docker pull leaves it", () => pulled],
  ])("%s, sent to a folder: the variant for the sender's platform arrives", async (_, which) => {
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
    "--platform, on either side, selects the variant, and warns if the receiver's engine cannot run it",
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
    // The API lists variants for other platforms than the engine's own from version 1.49 on.
    ...(version === "26.1" ? [["that the API does not list", `linux/${OTHER}`, () => image] as const] : []),
  ] as const)("--platform %s is an error, and nothing changes", async (_, platform, which) => {
    const { name } = which();
    const changes = await rememberEngines(containerd[side], bed.near);
    const run = await send(name, ["-H", bed.near.host], "--platform", platform);
    expect(run).toMatchObject({ exitCode: 3, stdout: "" });
    expect(run.stderr).toContain(`${name} is for linux/${RUNS}, not for ${platform}`);
    expect(await changes()).toEqual(unchanged(2));
  });
});

describe.skipIf(why)(`with its index, between containerd stores of 28.5 and 26.1 ${why ?? ""}`, () => {
  const OTHERS = [`linux/${OTHER}`, "linux/s390x"] as const;
  const ATTESTED = "unknown/unknown";
  const all = ["--all-platforms"];
  let image: { name: string; prints: string; root: string };

  /** An index of three platforms, the second of which is this machine's, as an archive and in the 28.5 engine. */
  beforeAll(async () => {
    if (why) return;
    const { v1, v2, prints } = await caseImages("indexed");
    const { layers } = asTest(v1);
    const [other, third] = [OTHER, "s390x"].map((architecture) => ({ layers, ...configFor(layers, { architecture }) }));
    const index = { [OTHERS[0]]: other, [`linux/${RUNS}`]: asTest(v2), [OTHERS[1]]: third } as Record<
      string,
      TestImage
    >;
    await writeTar(at("indexed.tar"), attestedLayout(index, v2.name));
    await containerd.near.docker("load", "--input", at("indexed.tar"));
    image = { name: v2.name, prints, root: await idOf(containerd.near, v2.name) };
  });

  const idOf = async (engine: Engine, name: string): Promise<string> =>
    (await engine.docker("image", "inspect", "--format", "{{.Id}}", name)).stdout;
  const push = async (...words: string[]) => await dos(["push", ...words], { on: containerd });
  const toFar = (name: string): string[] => ["ssh", "far", "docker-over-ssh", "pull", name];

  /** Pulls the image from the far engine into a layout, and reads the layout with an independent reader. */
  async function readFar(name: string, options: string[]) {
    const path = at(`far-${name.replace(":", "-")}-${options.length}`);
    const pull = ["pull", ...options, "--to", `oci:${path}`, name, "ssh", "far", "docker-over-ssh", "push", name];
    expect(await dos(pull, { on: containerd })).toEqual(done);
    return wholeIndex(await readTree(path), name);
  }

  test("a selection of platforms: the digest is the same, the engine's variant runs, and the other variants are absent", async () => {
    const { name, root, prints } = image;
    const two = ["--platform", `linux/${RUNS}`, "--platform", OTHERS[0]];
    expect(await push(...two, "--as", "some:v1", name, ...toFar("some:v1"))).toEqual(done);
    expect(await idOf(containerd.far, "some:v1")).toBe(root);
    expect((await containerd.far.docker("run", "--rm", "some:v1")).stdout).toBe(prints);
    const platforms = [OTHERS[0], `linux/${RUNS}`, ATTESTED, ATTESTED];
    expect(await readFar("some:v1", two)).toEqual({ root, platforms, faults: [] });
    const run = await dos(
      ["pull", ...all, "--to", `oci:${at("absent")}`, "some:v1", "ssh", "far", "docker-over-ssh", "push", "some:v1"],
      { on: containerd },
    );
    expect(run).toMatchObject({ exitCode: 3 });
    expect(run.stderr).toContain("names linux/s390x without the content");
  });

  test("all platforms: arrive bit for bit from an archive in an engine, in another engine and in a layout; present layers are not sent", async () => {
    const { name, root, prints } = image;
    const changes = await rememberEngines(containerd.near);
    const from = `oci-archive:${at("indexed.tar")}:${name}`;
    expect(await push(...all, "--as", "again:v1", from, "docker-over-ssh", "pull", "again:v1")).toEqual(done);
    expect(await idOf(containerd.near, "again:v1")).toBe(root);
    const first = await push(...all, "again:v1", ...toFar("again:v1"));
    expect(first).toEqual(done);
    expect(first.stderr).toContain("for 3 layers, 12 layers"); // the config of one platform, and its attestation
    expect(await idOf(containerd.far, "again:v1")).toBe(root);
    const second = await push(...all, "--json", name, ...toFar(name));
    const events = second.stdout.split("\n").map((line) => JSON.parse(line || "{}") as Record<string, unknown>);
    const result = events.find(({ type }) => type === "result");
    expect(result).toMatchObject({ id: root, manifestDigest: root, layersSent: 0, layersPresent: 15 });
    expect(Number(result?.bytesSent)).toBeLessThan(20_000);
    // The blobs stay with the last name that needs them.
    await containerd.far.docker("rmi", "some:v1", "again:v1");
    const platforms = [OTHERS[0], `linux/${RUNS}`, OTHERS[1], ATTESTED, ATTESTED, ATTESTED];
    expect(await readFar(name, all)).toEqual({ root, platforms, faults: [] });
    expect((await containerd.far.docker("run", "--rm", name)).stdout).toBe(prints);
    await containerd.near.docker("rmi", "again:v1");
    expect(await changes()).toEqual(unchanged(1));
  });

  test("into and out of an engine alone, for platforms that it cannot run", async () => {
    const dial = ["ssh", "far", "docker", "system", "dial-stdio"];
    const foreign = OTHERS.flatMap((platform) => ["--platform", platform]);
    expect(await push(...foreign, "--as", "foreign:v1", image.name, ...dial)).toEqual(done);
    expect(await idOf(containerd.far, "foreign:v1")).toBe(image.root);
    const pull = ["pull", ...foreign, "--to", `oci:${at("foreign")}`, "foreign:v1", ...dial];
    expect(await dos(pull, { on: containerd })).toEqual(done);
    const platforms = [...OTHERS, ATTESTED, ATTESTED];
    expect(wholeIndex(await readTree(at("foreign")), "foreign:v1")).toEqual({
      root: image.root,
      platforms,
      faults: [],
    });
    await containerd.far.docker("rmi", "foreign:v1");
  });

  test("with a classic store on either side, fails before anything is sent, and says what to do", async () => {
    const changes = await rememberEngines(bed.near, containerd.near);
    const to = await push(...all, image.name, "docker-over-ssh", "pull", "-H", bed.near.host, image.name);
    const own = await dos(["pull", ...all, "-H", bed.near.host, image.name, "docker-over-ssh", "push", image.name], {
      on: containerd,
    });
    for (const run of [to, own]) {
      expect(run.exitCode).toBe(13);
      expect(run.stderr).toContain("the classic store of");
      expect(run.stderr).toContain("containerd-snapshotter");
    }
    expect(await changes()).toEqual(unchanged(2));
  });
});
