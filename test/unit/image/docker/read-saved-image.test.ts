import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { digestOf } from "../../../../src/image/digest.ts";
import {
  blobEntries,
  gzipped,
  index,
  LAYOUT,
  makeImage,
  ociBlobs,
  plain,
  saveLegacy,
  saveOci,
  savePodman,
  type TestImage,
} from "../make-image.ts";
import { makeTar, type TestEntry } from "../tar/make-tar.ts";
import { read, stream } from "./saved-image.ts";
import { AMD64, asPlatform } from "../platforms.ts";

const image = await makeImage([3000, 70_000, 200, 9000]);
/** An image that contains the second layer twice. */
const twice = await makeImage([3000, 70_000, 200, 70_000, 9000]);

describe("identifies layers while it streams the archive:", () => {
  const formats: [string, (of: TestImage) => TestEntry[] | Promise<TestEntry[]>][] = [
    ["Docker 20.10", async (of) => await saveLegacy(of)],
    ["Docker 20.10, its daemon in another time zone", async (of) => await saveLegacy(of, "1970-01-01T05:30:00+05:30")],
    ["Docker 25, graph driver", (of) => saveOci(of, plain)],
    ["Podman", savePodman],
  ];
  test.each(formats)("%s", async (_name, save) => {
    for (const of of [image, twice, await makeImage([500])]) {
      const result = await read(await makeTar(await save(of)), of);
      expect(result.config).toEqual(of.config);
      expect(result).toMatchObject({
        configDigest: digestOf(of.config),
        diffIds: of.diffIds,
        platform: AMD64,
        absent: [],
        unrecognised: [],
      });
      expect(result.names.join()).toContain("app:v1");
      for (const [at, diffId] of of.diffIds.entries())
        expect(result.layers.get(diffId)?.equals(of.layers[at] ?? result.config)).toBe(true);
    }
  });

  test.each(formats)("%s, in chunks of any size, some layers", async (_name, save) => {
    const tar = await makeTar(await save(twice));
    for (let seed = 1; seed <= 12; seed += 1) {
      const wanted = new Set(twice.diffIds.filter((_, at) => (seed >> (at % 4)) % 2 === 1));
      const result = await read(stream(tar, seed, seed % 3 === 0 ? 600 : 40_000), twice, { wanted });
      expect(new Set(result.layers.keys())).toEqual(wanted);
      expect(result.unrecognised).toEqual([]);
    }
  });
});

describe("blobs of the containerd store", () => {
  const entries = saveOci(image, gzipped);
  const { descriptors } = ociBlobs(image, gzipped);

  test("are identified by the manifest's descriptors", async () => {
    const result = await read(await makeTar(entries), image, { descriptors });
    expect(result).toMatchObject({ absent: [], unrecognised: [] });
    for (const [at, diffId] of image.diffIds.entries()) {
      expect(digestOf(result.layers.get(diffId) ?? "")).toBe(descriptors[at]?.digest);
    }
  });

  test("of several platforms: finds the wanted image; other variants may be incomplete", async () => {
    const other = await makeImage([4000], { architecture: "arm64" });
    const [mine, theirs] = [ociBlobs(image, gzipped), ociBlobs(other, gzipped)];
    const attestation = {
      ...theirs.manifest.descriptor,
      annotations: { "vnd.docker.reference.type": "attestation-manifest" },
    };
    const absent = { ...theirs.manifest.descriptor, digest: digestOf("absent") };
    const nested = Buffer.from(
      JSON.stringify({ manifests: [attestation, absent, theirs.manifest.descriptor, mine.manifest.descriptor] }),
    );
    const nestedDescriptor = {
      mediaType: "application/vnd.oci.image.index.v1+json",
      digest: digestOf(nested),
      size: nested.length,
    };
    const tar = await makeTar([
      ...blobEntries([nested, ...mine.blobs, theirs.manifest.bytes]),
      index([{ ...nestedDescriptor, annotations: { "io.containerd.image.name": "docker.io/library/app:v1" } }]),
      LAYOUT,
    ]);
    const result = await read(tar, image, { descriptors: mine.descriptors });
    expect(result).toMatchObject({ names: ["docker.io/library/app:v1"], unrecognised: [] });
    expect(result.layers.size).toBe(4);
  });

  test("are required if descriptors are given: other blobs of the same layers are not used", async () => {
    for (const pack of [plain, (layer: Buffer) => ({ ...gzipped(layer), blob: gzipSync(layer, { level: 1 }) })]) {
      const result = await read(await makeTar(saveOci(image, pack)), image, { descriptors, keeps: true });
      expect(result).toMatchObject({ unrecognised: image.diffIds, identified: [], discarded: [] });
      expect(result.layers.size).toBe(0);
    }
  });
});

test("of images with the same layers, finds the one for the platform", async () => {
  const [amd, arm] = [await makeImage([500]), await makeImage([500], { architecture: "arm64", variant: "v8" })];
  const all = [amd, arm].map((of) => ociBlobs(of, gzipped));
  const tar = await makeTar([
    ...blobEntries(all.flatMap(({ blobs }) => blobs)),
    index(all.map(({ manifest }) => manifest.descriptor)),
    LAYOUT,
  ]);
  for (const [platform, of] of [
    ["linux/amd64", amd],
    ["linux/arm64/v8", arm],
    ["linux/arm64", arm],
    ["linux/s390x", amd],
  ] as const) {
    const result = await read(tar, amd, { platform: asPlatform(platform), keeps: true });
    expect([platform, result.configDigest]).toEqual([platform, digestOf(of.config)]);
  }
});

test("of many layers are identified", async () => {
  const many = await makeImage(Array.from({ length: 127 }, (_, at) => at + 1));
  for (const entries of [
    await saveLegacy(many, "1970-01-01T01:00:00+01:00"),
    saveOci(many, plain),
    await savePodman(many),
  ]) {
    const result = await read(await makeTar(entries), many);
    expect(result.layers.size).toBe(127);
  }
});
