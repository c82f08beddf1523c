import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Index } from "../../src/image/manifest.ts";
import { checkSaved, readTar } from "../matrix/saved-image.ts";
import type { LayerSpec } from "../testbed/build-image.ts";
import { buildWithBuildx } from "../testbed/build-with-buildx.ts";
import { whyNotKind } from "../testbed/engine-packages.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { bed, done, dos, rememberEngines, unchanged, why } from "./bed.ts";

const whyNo29 = why ?? (await whyNotKind("29-containerd"));

/** The layer of both versions of an image, sent once. */
const libraries: LayerSpec = { name: "libraries", bytes: 2_000_000, files: 20 };

let stores: Testbed;

beforeAll(async () => {
  if (why) return;
  const far = whyNo29 ? "28.5-containerd" : "29-containerd";
  stores = await startTestbed({ near: { kind: "28.5-containerd" }, far: { kind: far } });
});

afterAll(async () => await stores?.[Symbol.asyncDispose]());

async function saved(engine: Engine, image: string): Promise<Map<string, Buffer>> {
  const path = join(stores.folder, "saved.tar");
  await engine.docker("save", "--output", path, image);
  return await readTar(await readFile(path));
}

describe.each([
  { version: "28.5", side: "near", otherSide: "far", whyNot: why },
  { version: "29", side: "far", otherSide: "near", whyNot: whyNo29 },
] as const)("built with buildx on a containerd store", ({ version, side, otherSide, whyNot }) => {
  const name = `attested-${version}`;

  describe.skipIf(whyNot)(`an image built by ${version} ${whyNot ?? ""}`, () => {
    beforeAll(async () => {
      if (whyNot) return;
      for (const tag of ["v1", "v2"]) await buildWithBuildx(stores[side], `${name}:${tag}`, [libraries]);
    });

    /** Sends the image from the engine's machine to the engine `to`. */
    async function send(image: string, to: string[]) {
      const push = ["docker-over-ssh", "push", image];
      return await dos(["pull", ...to, image, ...(side === "far" ? ["ssh", "far"] : []), ...push], { on: stores });
    }

    test("is an index of the image and a provenance attestation", async () => {
      const image = `${name}:v1`;
      const files = await saved(stores[side], image);
      const read = (file: string): Index => JSON.parse(files.get(file)?.toString() ?? "{}") as Index;
      const [top] = read("index.json").manifests;
      const format = "{{.Id}} {{.Descriptor.digest}} {{.Descriptor.mediaType}}";
      const { stdout } = await stores[side].docker("image", "inspect", "--format", format, image);
      expect(stdout).toBe(`${top?.digest} ${top?.digest} application/vnd.oci.image.index.v1+json`);
      const { manifests } = read(`blobs/${top?.digest.replace(":", "/")}`);
      expect(manifests).toEqual([
        expect.objectContaining({ platform: expect.objectContaining({ os: "linux" }) as unknown }),
        expect.objectContaining({
          platform: { architecture: "unknown", os: "unknown" },
          annotations: {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": manifests[0]?.digest,
          },
        }),
      ]);
    });

    test.each([
      ["another containerd store", () => stores[otherSide]],
      ["a graph driver", () => bed.near],
    ])("runs and is complete after a transfer to %s; a second version sends one layer", async (_, engineOf) => {
      const engine = engineOf();
      const changes = await rememberEngines(stores[side]);
      const [first, second] = [
        await send(`${name}:v1`, ["-H", engine.host]),
        await send(`${name}:v2`, ["-H", engine.host]),
      ];
      expect([first, second]).toEqual([done, done]);
      expect(second.stderr).toMatch(/for 1 layer, 2 layers.* already present/);
      expect((await engine.docker("run", "--rm", `${name}:v2`)).stdout).toBe(`${name} v2`);
      expect(checkSaved(await saved(engine, `${name}:v2`)).faults).toEqual([]);
      expect(await changes()).toEqual(unchanged(1));
      await engine.docker("rmi", `${name}:v1`, `${name}:v2`);
    });
  });
});
