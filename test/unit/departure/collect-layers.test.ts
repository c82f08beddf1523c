import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { collectLayers } from "../../../src/departure/collect-layers.ts";
import type { EngineDepartureOptions } from "../../../src/departure/departure.ts";
import type { Shelf } from "../../../src/departure/shelf.ts";
import { parseSentManifest } from "../../../src/image/manifest.ts";
import type { EmbeddedRegistry } from "../../../src/registry/embedded/server.ts";
import { gzipped, makeImage, ociBlobs, plain, saveOci } from "../image/archive/make-image.ts";
import { makeTar } from "../image/archive/make-tar.ts";
import { stream } from "../image/archive/read-saved.ts";

test("of an engine of which nothing else can be had, `docker save` is read, for a manifest that is to be kept, too", async () => {
  const image = await makeImage([100]);
  const { diffIds } = image;
  const { bytes } = ociBlobs(image, gzipped).manifest;
  const saved: string[] = [];
  /** A containerd store on another machine, of which `docker save` alone gives anything. */
  const engine = {
    reachesUs: false,
    loadImage: async (archive: Readable) => void archive.resume(),
    saveImage: async (name: string) => (
      saved.push(name),
      stream(name === "app:v1" ? await makeTar(saveOci(image, plain)) : Buffer.alloc(1024))
    ),
    removeReference: async () => {},
  };
  const options = {
    engine,
    engineInfo: { store: "containerd" },
    image: { given: "app:v1", domain: "docker.io", path: "library/app" },
    info: { id: "sha256:0", diffIds, platform: "linux/amd64", size: 0 },
    want: { diffIds },
    runs: ["1", "2"],
    signal: new AbortController().signal,
    output: { detail: () => {} },
    onProgress: () => {},
  } as unknown as EngineDepartureOptions;
  const shelved: string[] = [];
  const shelf = {
    has: (diffId: string) => shelved.includes(diffId),
    pack: async (diffId: string, _size: number, layer: Readable) => (await buffer(layer), void shelved.push(diffId)),
    finish: () => void shelved.push("config"),
  } as unknown as Shelf;
  const collect = async (more: object): Promise<void> =>
    await collectLayers({} as EmbeddedRegistry, shelf, { ...options, ...more });
  await expect(collect({ manifest: parseSentManifest(bytes) })).rejects.toMatchObject({
    code: "not-verified",
    message: "the engine does not give the layers of app:v1 as it stores them",
  });
  expect(saved).toContain("app:v1");
  expect(shelved).toEqual([]);
  await collect({});
  expect(shelved).toEqual([...diffIds, "config"]);
});
