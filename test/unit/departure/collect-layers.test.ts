import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { collectLayers } from "../../../src/departure/collect-layers.ts";
import type { EngineDepartureOptions } from "../../../src/departure/departure.ts";
import type { Shelf } from "../../../src/departure/shelf.ts";
import { parseSentManifest } from "../../../src/image/manifest.ts";
import type { EmbeddedRegistry } from "../../../src/registry/embedded/server.ts";
import { gzipped, makeImage, ociBlobs } from "../image/archive/make-image.ts";

test("from an engine that gives no blobs as it stores them, none are taken for a manifest that is to be kept", async () => {
  const { diffIds, ...rest } = await makeImage([100]);
  const { bytes } = ociBlobs({ diffIds, ...rest }, gzipped).manifest;
  const saved: string[] = [];
  /** A containerd store on another machine, of which `docker save` alone gives anything. */
  const engine = {
    reachesUs: false,
    loadImage: async (archive: Readable) => void archive.resume(),
    saveImage: async (name: string) => (saved.push(name), Readable.from([Buffer.alloc(1024)])),
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
  const collect = async (more: object) =>
    await collectLayers({} as EmbeddedRegistry, { has: () => false } as unknown as Shelf, { ...options, ...more });
  await expect(collect({ manifest: parseSentManifest(bytes) })).rejects.toMatchObject({
    code: "not-verified",
    message: "the engine does not give the layers of app:v1 as it stores them",
  });
  expect(saved).not.toContain("app:v1");
  await expect(collect({})).rejects.toThrow("neither a manifest.json nor an index.json");
  expect(saved).toContain("app:v1");
});
