import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MEDIA_TYPE } from "../../src/image/manifest.ts";
import { caseImages } from "../matrix/case-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import type { Pack } from "../unit/image/make-image.ts";
import { layoutOf, writeTree } from "../unit/command-line/images.ts";
import { bed, done, dos, rememberEngines, unchanged, why } from "./bed.ts";
import { asTest } from "./layouts.ts";

/** Exists since Node 22.15 and 23.8. The types are those of Node 20. */
const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer };
const hasZstd = zstdCompressSync !== undefined;
const noProgram = !hasZstd && spawnSync("zstd", ["--version"]).error !== undefined;
const whyNot = why ?? (noProgram ? "(there is no zstd here, neither in Node nor as a program)" : undefined);

const byProgram = (layer: Buffer): Buffer =>
  execFileSync("zstd", ["--stdout", "-"], { input: layer, maxBuffer: Infinity, stdio: "pipe" });
const zstd: Pack = (layer) => ({ blob: (zstdCompressSync ?? byProgram)(layer), mediaType: MEDIA_TYPE.ociLayerZstd });

const IMAGE = "zstd-layers:v2";

let containerd: Testbed;
let folder: string;
let prints: string;

beforeAll(async () => {
  if (whyNot) return;
  containerd = await startTestbed({ near: { kind: "28.5-containerd" } });
  folder = mkdtempSync(join(tmpdir(), "dos-zstd-"));
  const images = await caseImages("zstd-layers");
  prints = images.prints;
  await writeTree(join(folder, "layout"), layoutOf([{ image: asTest(images.v2), ref: IMAGE }], zstd));
});

afterAll(async () => {
  await containerd?.[Symbol.asyncDispose]();
  if (!whyNot) rmSync(folder, { recursive: true });
});

const engines: Record<string, () => Engine> = {
  "a graph driver": () => bed.near,
  "a containerd store": () => containerd.near,
};
const engine = (store: string): Engine => engines[store]?.() ?? bed.near;

async function push(...to: string[]) {
  return await dos(["push", `oci:${join(folder, "layout")}`, "docker-over-ssh", "pull", ...to, IMAGE]);
}

async function runsOn(target: Engine): Promise<void> {
  expect((await target.docker("run", "--rm", IMAGE)).stdout).toBe(prints);
  await target.docker("rmi", IMAGE);
}

describe.skipIf(whyNot)(`a layout with zstd layers ${whyNot ?? ""}`, () => {
  test("is pulled by an engine that supports zstd, with or without zstd in this Node", async () => {
    expect(await push("-H", containerd.near.host, "--via", "pull")).toEqual(done);
    await runsOn(containerd.near);
  });

  describe.runIf(hasZstd)("where this Node has zstd", () => {
    test.each(Object.keys(engines))("is loaded into %s, and runs", async (store) => {
      expect(await push("-H", engine(store).host)).toEqual(done);
      await runsOn(engine(store));
    });

    test("is copied into another layout unchanged, with its manifest", async () => {
      expect(await push("--to", `oci:${join(folder, "copy")}`)).toEqual(done);
      const [sent, arrived] = ["layout", "copy"].map((name) => readFileSync(join(folder, name, "index.json"), "utf8"));
      const digest = (index = ""): string =>
        (JSON.parse(index) as { manifests: [{ digest: string }] }).manifests[0].digest;
      expect(digest(arrived)).toBe(digest(sent));
    });
  });

  describe.runIf(!hasZstd)("where this Node has no zstd, before 22.15", () => {
    const words = `compressed with zstd, which Node ${process.versions.node} cannot decompress; Node 22.15 can`;

    test.each(Object.keys(engines))(
      "is rejected before a load into %s: the error names the Node version, and nothing changes",
      async (store) => {
        const changes = await rememberEngines(engine(store));
        const run = await push("-H", engine(store).host);
        expect(run).toMatchObject({ exitCode: 13, stdout: "" });
        expect(run.stderr).toContain(words);
        expect(await changes()).toEqual(unchanged(1));
      },
    );

    test("is not copied, and no new layout is created", async () => {
      const run = await push("--to", `oci:${join(folder, "copy")}`);
      expect(run).toMatchObject({ exitCode: 13, stdout: "" });
      expect(run.stderr).toContain(words);
      expect(existsSync(join(folder, "copy"))).toBe(false);
    });
  });
});
