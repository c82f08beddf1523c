import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { extract } from "tar-stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decompressLayer } from "../../src/image/layer/decompress-layer.ts";
import { openArchive } from "../../src/image/open/open-archive.ts";
import { digestOf } from "../../src/image/digest.ts";
import { buildxFolder } from "../testbed/engine-packages.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { sendTar } from "../unit/delta/send-tar.ts";
import { bytesOf } from "../unit/image/tar/make-tar.ts";
import { why } from "./bed.ts";
import { foreignTar, oddContext } from "./odd-image.ts";
import { parseArchivedName } from "../../src/image/archived-name.ts";

const [TIME, DAY] = [1_600_000_000, 86_400];

let classic: Testbed;
let other: Testbed;
let folder: string;

const engines = {
  "20.10": () => classic.near,
  "26.1": () => classic.far,
  "28.5 with a containerd store": () => other.near,
  Podman: () => other.far,
};
type EngineName = keyof typeof engines;
const names = Object.keys(engines) as EngineName[];

interface Build {
  /** The builder, for test titles. */
  by: string;
  on: EngineName;
  image: string;
}
const BUILDX = "by-buildx:v1";
const builds: Build[] = [
  ...names.map((on) => ({ by: on, on, image: "built:v1" })),
  // The API of Podman 4.3 has no BuildKit.
  ...names.filter((on) => on !== "Podman").map((on) => ({ by: `buildx on ${on}`, on, image: BUILDX })),
];

interface Layer {
  diffId: string;
  tar: Buffer;
}
/** The layers of each image, in the order of {@link builds}. */
const built: Layer[][] = [];

beforeAll(async () => {
  if (why) return;
  classic = await startTestbed({ near: { kind: "20.10" }, far: { kind: "26.1" } });
  other = await startTestbed({ near: { kind: "28.5-containerd" }, far: { kind: "podman" } });
  folder = await mkdtemp(join(classic.folder, "layers-"));
  for (const [index, one] of builds.entries()) {
    await build(one, TIME + index * DAY);
    built.push(await layersOf(engines[one.on](), one.image));
  }
});

afterAll(async () => {
  await classic?.[Symbol.asyncDispose]();
  await other?.[Symbol.asyncDispose]();
});

async function build({ on, image }: Build, mtime: number): Promise<void> {
  const args = ["--quiet", "--network", "none", "--tag", image, "-"];
  const context = [await oddContext(mtime)];
  if (image !== BUILDX) {
    await engines[on]().dockerWithInput(context, ["build", ...args], { DOCKER_BUILDKIT: "0" });
    return;
  }
  const settings = { cliPluginsExtraDirs: [await buildxFolder()] };
  const config = await mkdtemp(join(folder, "buildx-"));
  await writeFile(join(config, "config.json"), JSON.stringify(settings));
  const command = ["buildx", "build", "--load", ...args];
  await engines[on]().dockerWithInput(context, command, { DOCKER_CONFIG: config });
}

/** Returns the layers of an image, exported by `docker save`. */
async function layersOf(engine: Engine, image: string): Promise<Layer[]> {
  const path = join(folder, "saved.tar");
  await engine.docker("save", "--output", path, image);
  await using archive = await openArchive("docker-archive", path);
  const { layers } = await archive.find(parseArchivedName(image));
  const read = await Promise.all(
    layers.map(async ({ diffId, blob, open }) => ({
      diffId,
      tar: await bytesOf(decompressLayer(open(), blob.mediaType)),
    })),
  );
  await rm(path);
  return read;
}

/** Returns all files of an image as a tar, copied from a container that is not started. */
async function filesOf(engine: Engine, image: string): Promise<Buffer> {
  const { stdout: id } = await engine.docker("create", image, "/bin/busybox");
  const options = { env: engine.env, stdin: "ignore", encoding: "buffer" } as const;
  const { stdout } = await execa("docker", ["cp", `${id}:/.`, "-"], options);
  await engine.docker("rm", id);
  return Buffer.from(stdout);
}

/** Returns the features of a layer's entries beyond name and content. */
async function featuresOf(tar: Buffer): Promise<string[]> {
  const features: string[] = [];
  const parser = extract();
  parser.end(tar);
  for await (const entry of parser) {
    const { name, type, mode, size, pax } = entry.header;
    features.push(type, ...Object.keys(pax ?? {}));
    if (name.endsWith("/.wh..wh..opq")) features.push("an opaque folder");
    else if (name.includes("/.wh.")) features.push("a whiteout");
    if (name.length > 255) features.push("a long name");
    if (name.includes("\u65E5\u672C\u8A9E")) features.push("another alphabet");
    if (name.includes("\uFFFD")) features.push("a name that is not UTF-8");
    if (mode & 0o4000) features.push("setuid");
    if (type === "file" && size === 0) features.push("an empty file");
    entry.resume();
  }
  return features;
}

async function allFeaturesOf(layers: Layer[]): Promise<string[]> {
  const features = await Promise.all(layers.map(async ({ tar }) => await featuresOf(tar)));
  return [...new Set(features.flat())];
}

const EVERYWHERE = [
  "file",
  "directory",
  "link",
  "symlink",
  "fifo",
  "character-device",
  "SCHILY.xattr.security.capability",
  "a whiteout",
  "a long name",
  "another alphabet",
  "a name that is not UTF-8",
  "setuid",
  "an empty file",
];

/** Sends a layer by delta to a receiver that has `deltaBases`, and verifies it. @returns the bytes of the pieces that were sent */
async function sent({ tar, diffId }: Layer, deltaBases: Buffer[]): Promise<number> {
  const { rebuilt, sent } = await sendTar(folder, tar, deltaBases);
  expect(digestOf(rebuilt)).toBe(diffId);
  return sent;
}

describe.skipIf(why)(`rebuilds layers of real engines byte for byte: ${why ?? ""}`, () => {
  describe.each(builds.map((one, index) => ({ ...one, index })))("built by $by", ({ on, image, index }) => {
    test("have all features of layers", async () => {
      const layers = built[index] ?? [];
      expect(layers).toHaveLength(3);
      expect(layers.reduce((sum, { tar }) => sum + tar.length, 0)).toBeGreaterThan(20_000_000);
      expect(await allFeaturesOf(layers)).toEqual(expect.arrayContaining(EVERYWHERE));
    });

    test("arrive whole; by delta, a receiver with another builder's layers or the image's files needs almost no bytes", async () => {
      const others = built[(index + 1) % builds.length]?.map(({ tar }) => tar) ?? [];
      const files = await filesOf(engines[on](), image);
      for (const layer of built[index] ?? []) {
        const all = await sent(layer, []);
        expect(all).toBeGreaterThan(100_000);
        expect(await sent(layer, others)).toBeLessThan(0.01 * all);
        expect(await sent(layer, [files])).toBeLessThan(0.01 * all);
      }
    });
  });

  test("some have opaque folders", async () => {
    expect(await allFeaturesOf(built.flat())).toContain("an opaque folder");
  });

  test.each(names)("a foreign tar imported into %s", async (on) => {
    const sparse = on === "28.5 with a containerd store";
    const tar = foreignTar(TIME, { sparse });
    await engines[on]().dockerWithInput([tar], ["import", "-", "imported:v1"]);
    const [layer, ...more] = await layersOf(engines[on](), "imported:v1");
    expect(more).toEqual([]);
    expect(layer?.diffId).toBe(digestOf(tar));
    const all = await sent(layer as Layer, []);
    expect(all).toBeGreaterThan(90_000);
    expect(await sent(layer as Layer, [foreignTar(TIME + DAY, { sparse })])).toBeLessThan(0.01 * all);
  });
});
