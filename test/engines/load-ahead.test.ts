import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { digestOf } from "../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../src/image/manifest.ts";
import { caseImages } from "../matrix/case-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import type { Pack, TestImage } from "../unit/image/make-image.ts";
import { makeTar } from "../unit/image/tar/make-tar.ts";
import { layoutOf, writeTree } from "../unit/command-line/images.ts";
import { bed, done, dos, rememberEngines, unchanged, why } from "./bed.ts";
import { asTest } from "./layouts.ts";

const IMAGE = "load-ahead:v1";
/** In bytes: more than the size from which either kind of store loads ahead. All bytes are equal, so that they compress well. */
const LARGE = 70_000_000;
const plain: Pack = (layer) => ({ blob: layer, mediaType: MEDIA_TYPE.ociLayer });

let containerd: Testbed;
let folder: string;
let prints: string;
let id: string;

beforeAll(async () => {
  if (why) return;
  containerd = await startTestbed({ near: { kind: "28.5-containerd" } });
  folder = mkdtempSync(join(tmpdir(), "dos-ahead-"));
  const images = await caseImages("load-ahead");
  prints = images.prints;
  const image = await withLargeLayers(asTest(images.v2));
  id = digestOf(image.config);
  const twice = { ...image, layers: [...image.layers, image.layers[0] ?? Buffer.alloc(0)] };
  await writeTree(join(folder, "right"), layoutOf([{ image, ref: IMAGE }], plain));
  // The last layer does not match its diff ID in the config.
  const wrong = [...image.layers.slice(0, -1), twice.layers.at(-1) ?? Buffer.alloc(0)];
  await writeTree(join(folder, "wrong"), layoutOf([{ image: { ...image, layers: wrong }, ref: IMAGE }], plain));
});

afterAll(async () => {
  await containerd?.[Symbol.asyncDispose]();
  if (!why) rmSync(folder, { recursive: true });
});

/** Returns the image with two large layers below its top one. */
async function withLargeLayers({ config, layers }: TestImage): Promise<TestImage> {
  const large = await Promise.all(
    ["one", "two"].map(async (name) => await makeTar([{ name, content: Buffer.alloc(LARGE, name) }])),
  );
  const all = [...layers.slice(0, -1), ...large, ...layers.slice(-1)];
  const diffIds = all.map(digestOf);
  const { history: _, ...rest } = JSON.parse(config.toString()) as { history?: object };
  const rootfs = { type: "layers", diff_ids: diffIds };
  return { config: Buffer.from(JSON.stringify({ ...rest, rootfs })), diffIds, layers: all };
}

async function push(layout: string, to: Engine) {
  return await dos(["push", `oci:${join(folder, layout)}`, "docker-over-ssh", "pull", "-H", to.host, IMAGE]);
}

/** Returns the events of the engine about image names during `meanwhile`. */
async function eventsOf(engine: Engine, meanwhile: () => Promise<void>): Promise<string[]> {
  const since = String(Date.now() / 1000);
  await meanwhile();
  const format = "{{.Action}} {{.Actor.Attributes.name}}";
  const until = String(Date.now() / 1000);
  const args = ["--since", since, "--until", until, "--filter", "type=image", "--format", format];
  return (await engine.docker("events", ...args)).stdout.split("\n");
}

describe.skipIf(why)(`an image with large layers ${why ?? ""}`, () => {
  describe.each([
    ["a graph driver", () => bed.near],
    ["a containerd store", () => containerd.near],
  ])("into %s", (_, engine) => {
    test("loads the lowest layers before the others have arrived, and leaves no temporary image", async () => {
      const changes = await rememberEngines(engine());
      const events = await eventsOf(engine(), async () => expect(await push("right", engine())).toEqual(done));
      expect(events.filter((event) => event.startsWith("load ")).length).toBeGreaterThan(1);
      const { stdout } = await engine().docker("image", "ls", "--all", "--format", "{{.Repository}}:{{.Tag}}");
      expect(stdout).not.toContain("/lowest-");
      expect((await engine().docker("run", "--rm", IMAGE)).stdout).toBe(prints);
      await engine().docker("rmi", IMAGE);
      expect(await changes()).toEqual(unchanged(1));
    });

    test("leaves nothing behind when the last layer is invalid", async () => {
      const changes = await rememberEngines(engine());
      const run = await push("wrong", engine());
      expect(run.exitCode).not.toBe(0);
      expect(await changes()).toEqual(unchanged(1));
    });
  });

  test("keeps its ID", async () => {
    expect(await push("right", bed.near)).toEqual(done);
    expect((await bed.near.docker("image", "inspect", "--format", "{{.Id}}", IMAGE)).stdout).toBe(id);
    await bed.near.docker("rmi", IMAGE);
  });
});
