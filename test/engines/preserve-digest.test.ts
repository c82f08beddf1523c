import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { bed, done, dos, rememberEngines, unchanged, why, type Run } from "./bed.ts";
import { at, containerd } from "./containerd-pair.ts";

const base: LayerSpec = { name: "system", bytes: 800_000, files: 20 };
const packages: LayerSpec = { name: "packages", bytes: 4_000_000, files: 200 };

const FLAG = "--preserve-digest";
const NOTE = "no manifest digest can be preserved";

/** Returns the ID of an image: on a containerd store, the digest of its manifest. */
async function idOf(engine: Engine, image: string): Promise<string> {
  return (await engine.docker("image", "inspect", "--format", "{{.Id}}", image)).stdout;
}

async function runsOn(engine: Engine, image: string): Promise<void> {
  expect((await engine.docker("run", "--rm", image)).stdout).toBe(image.replace(":", " "));
}

/** Returns the digest of the only manifest in a layout. */
function inLayout(path: string): string | undefined {
  const { manifests } = JSON.parse(readFileSync(join(path, "index.json"), "utf8")) as {
    manifests: { digest: string }[];
  };
  return manifests[0]?.digest;
}

async function push(image: string, ...options: string[]): Promise<Run> {
  return await dos(["push", ...options, image, "ssh", "far", "docker-over-ssh", "pull", image], { on: containerd });
}

describe.skipIf(why)(`--preserve-digest from a containerd store ${why ?? ""}`, () => {
  let source: string;

  // Afterwards, the far engine has v2 with one layer as a different blob, rebuilt from the files of v1.
  beforeAll(async () => {
    if (why) return;
    const { near } = containerd;
    await buildImage(near, "kept:v1", [base, packages]);
    expect(await push("kept:v1")).toEqual(done);
    source = await buildImage(near, "kept:v2", [base, { ...packages, changedFiles: 3 }]);
    expect(await push("kept:v2")).toEqual(done);
  });

  test("without the option, the image has another manifest at the receiver", async () => {
    expect(await idOf(containerd.near, "kept:v2")).toBe(source);
    expect(await idOf(containerd.far, "kept:v2")).not.toBe(source);
  });

  test("rejects an engine pull, which fetches no layer that the store has as a different blob, and changes nothing", async () => {
    const changes = await rememberEngines(containerd.near, containerd.far);
    const line = ["push", "kept:v2", "ssh", "far", `docker-over-ssh pull --via pull ${FLAG} kept:v2`];
    const run = await dos(line, { on: containerd });
    expect(run).toMatchObject({ exitCode: 12, stdout: "" });
    expect(run.stderr).toContain("it has some of the layers as other blobs");
    expect(await changes()).toEqual(unchanged(2));
  });

  test("to a store with some layers as different blobs: sends only those layers, and preserves the manifest", async () => {
    const changes = await rememberEngines(containerd.near);
    const run = await push("kept:v2", FLAG, "--verbose");
    expect(run).toEqual(done);
    expect(run.stderr).not.toContain(NOTE);
    expect(run.stderr).toContain("offering 1 of 4 layers");
    expect(await idOf(containerd.far, "kept:v2")).toBe(source);
    await runsOn(containerd.far, "kept:v2");
    expect(await changes()).toEqual(unchanged(1));
    const again = await push("kept:v2", FLAG);
    expect(again.stderr).toContain("for 0 layers");
  });

  test("to a layout and an OCI archive, and from them to an engine that has the image as different blobs", async () => {
    const [layout, archive] = [`oci:${at("layout")}`, `oci-archive:${at("archive.tar")}`];
    for (const to of [layout, archive]) {
      const pull = ["pull", FLAG, "--to", to, "kept:v2", "docker-over-ssh", "push", "kept:v2"];
      expect(await dos(pull, { on: containerd })).toEqual(done);
    }
    expect(inLayout(at("layout"))).toBe(source);
    await containerd.far.docker("rmi", "kept:v2");
    expect(await push("kept:v2")).toEqual(done);
    expect(await idOf(containerd.far, "kept:v2")).not.toBe(source);
    const fromArchive = ["push", archive, "ssh", "far", `docker-over-ssh pull ${FLAG} kept:v2`];
    expect(await dos(fromArchive, { on: containerd })).toEqual(done);
    expect(await idOf(containerd.far, "kept:v2")).toBe(source);
  });

  test("with an engine alone at the remote side, in both directions", async () => {
    await containerd.far.docker("rmi", "kept:v1", "kept:v2");
    const far = ["ssh", "far", "docker", "system", "dial-stdio"];
    expect(await dos(["push", FLAG, "kept:v2", ...far], { on: containerd })).toEqual(done);
    expect(await idOf(containerd.far, "kept:v2")).toBe(source);
    await runsOn(containerd.far, "kept:v2");
    expect(await dos(["pull", FLAG, "--to", `oci:${at("pulled")}`, "kept:v2", ...far], { on: containerd })).toEqual(
      done,
    );
    expect(inLayout(at("pulled"))).toBe(source);
  });

  test("sends the image with one note when one side stores no manifests", async () => {
    const [{ host }, { near }] = [bed.near, containerd];
    const to = ["push", FLAG, "kept:v2", "docker-over-ssh", "pull", "-H", host, "kept:v2"];
    const from = ["push", FLAG, "-H", host, "kept:v2", "docker-over-ssh", "pull", FLAG, "-H", near.host, "kept:v2"];
    for (const [args, whose] of [
      [to, host],
      [from, "the source of the image"],
    ] as const) {
      const run = await dos(args, { on: containerd });
      expect(run).toEqual(done);
      expect(run.stderr.split(NOTE)).toHaveLength(2);
      expect(run.stderr).toContain(whose);
    }
    await runsOn(bed.near, "kept:v2");
    await bed.near.docker("rmi", "kept:v2");
  });
});
