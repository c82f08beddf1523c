import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { exportLayers } from "../../../../src/send/from-engine/export-layers.ts";
import type { EngineOfferOptions } from "../../../../src/send/from-engine/engine-offer-options.ts";
import type { OutgoingBlobs } from "../../../../src/send/outgoing-blobs.ts";
import { EngineError } from "../../../../src/engine/engine-error.ts";
import { parseImageManifest } from "../../../../src/image/manifest.ts";
import { Failure } from "../../../../src/output/errors.ts";
import type { EmbeddedRegistry } from "../../../../src/registry/embedded/server.ts";
import { blobEntries, gzipped, makeImage, ociBlobs, plain, saveOci, type TestImage } from "../../image/make-image.ts";
import { makeTar } from "../../image/tar/make-tar.ts";
import { stream } from "../../image/docker/saved-image.ts";
import { AMD64 } from "../../image/platforms.ts";

const lost = new Failure("engine-unreachable", "it closed the connection", { expected: "it to stay open" });

/** Exports from a containerd store on another machine, which cannot push to this process, and whose content store does not answer. */
function exportFrom(engine: object, outgoing: object, { diffIds }: TestImage, more: object = {}): Promise<void> {
  const options = {
    engine: {
      reachesUs: false,
      contentStore: async () => {},
      loadImage: async (archive: Readable) => void archive.resume(),
      removeReference: async () => {},
      ...engine,
    },
    engineInfo: { store: "containerd" },
    image: { given: "app:v1", domain: "docker.io", path: "library/app" },
    info: { id: "sha256:0", diffIds, platform: AMD64, size: 0 },
    want: { diffIds },
    runIds: ["1", "2"],
    env: {},
    signal: new AbortController().signal,
    output: { detail: () => {} },
    onProgress: () => {},
    ...more,
  } as unknown as EngineOfferOptions;
  return exportLayers({ openSpool: async () => {} } as EmbeddedRegistry, outgoing as OutgoingBlobs, options);
}

test.each([
  ["saves no single blobs", undefined],
  ["refuses to load", new EngineError("not allowed", 403)],
  ["closes the connection", lost],
])("reads `docker save` of an engine that %s, also for a manifest to preserve", async (_, refusal) => {
  const image = await makeImage([100]);
  const saved: string[] = [];
  const engine = {
    async saveImage(name: string) {
      saved.push(name);
      return stream(name === "app:v1" ? await makeTar(saveOci(image, plain)) : Buffer.alloc(1024));
    },
    ...(refusal && { loadImage: async () => await Promise.reject(refusal) }),
  };
  const added: string[] = [];
  const outgoing = {
    has: (diffId: string) => added.includes(diffId),
    addPlainStream: async (diffId: string, _size: number, layer: Readable) => (
      await buffer(layer),
      void added.push(diffId)
    ),
    finish: () => void added.push("config"),
  };
  const manifest = parseImageManifest(ociBlobs(image, gzipped).manifest.bytes);
  await expect(exportFrom(engine, outgoing, image, { manifest })).rejects.toMatchObject({
    code: "not-verified",
    message: "the engine does not return the layers of app:v1 as it stores them",
  });
  expect(saved).toContain("app:v1");
  expect(added).toEqual([]);
  await exportFrom(engine, outgoing, image);
  expect(added).toEqual([...image.diffIds, "config"]);
});

test("does not export a truncated layer again", async () => {
  const image = await makeImage([100]);
  const { blobs, manifest } = ociBlobs(image, gzipped);
  const added: string[] = [];
  const outgoing = {
    has: (diffId: string) => added.includes(diffId),
    async addStoredStream(diffId: string) {
      added.push(diffId);
      throw lost;
    },
    finish: () => expect.fail(),
  };
  const engine = { saveImage: async () => stream(await makeTar(blobEntries(saved.shift() ?? []))) };
  const saved = [[manifest.bytes], blobs];
  const info = { id: manifest.descriptor.digest, diffIds: image.diffIds, platform: AMD64, size: 0 };
  await expect(exportFrom(engine, outgoing, image, { info })).rejects.toBe(lost);
  expect(added).toEqual(image.diffIds);
});
