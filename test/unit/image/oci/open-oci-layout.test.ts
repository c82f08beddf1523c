import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { ImageNotFound } from "../../../../src/image/archive/choose-image.ts";
import { openArchive } from "../../../../src/image/open/open-archive.ts";
import { digestOf, hexOf } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE, type Descriptor } from "../../../../src/image/manifest.ts";
import { file, unpack } from "../archive/files.ts";
import { blobEntries, gzipped, index, LAYOUT, makeImage, ociBlobs, plain, saveOci } from "../make-image.ts";
import { makeTar } from "../tar/make-tar.ts";
import { isWhole } from "../whole-image.ts";
import { AMD64, asPlatform } from "../platforms.ts";
import { parseArchivedName } from "../../../../src/image/archived-name.ts";

const image = await makeImage([3000, 70_000, 200, 70_000, 9000]);
const arm = await makeImage([3000, 800], { architecture: "arm64", variant: "v8" });

describe("an OCI layout", () => {
  const [one, two] = [ociBlobs(image, gzipped), ociBlobs(arm, plain)];
  const named = (descriptor: Descriptor, annotations: Record<string, string>): object => ({
    ...descriptor,
    annotations,
  });
  const entries = saveOci(image, gzipped);

  test("is opened as a folder and as a tar, by the same names", async () => {
    for (const archive of [
      await openArchive("oci", await unpack(entries)),
      await openArchive("oci-archive", await file(await makeTar(entries))),
    ]) {
      for (const name of [undefined, ...["app:v1", "docker.io/library/app:v1", "v1"].map(parseArchivedName)]) {
        for (const platform of [undefined, AMD64])
          expect(await isWhole(await archive.find(name, platform), image, gzipSync)).toBe(true);
      }
      expect(archive.list()).toMatchObject([
        { names: ["docker.io/library/app:v1", "v1"], digest: one.manifest.descriptor.digest },
      ]);
      await archive.close();
    }
  });

  test("may contain symbolic links to blobs in a folder, as some build tools write", async () => {
    const path = await unpack(entries.filter(({ name }) => !name.includes(hexOf(one.descriptors[0]?.digest ?? ""))));
    const blob = await file(gzipSync(image.layers[0] ?? Buffer.alloc(0)));
    await symlink(blob, join(path, "blobs/sha256", hexOf(one.descriptors[0]?.digest ?? "")));
    await using archive = await openArchive("oci", path);
    expect(await isWhole(await archive.find(), image, gzipSync)).toBe(true);
  });

  test("of several platforms: returns the wanted one", async () => {
    const attestation = {
      ...one.manifest.descriptor,
      platform: { os: "unknown", architecture: "unknown" },
      annotations: { "vnd.docker.reference.type": "attestation-manifest" },
    };
    const nested = Buffer.from(
      JSON.stringify({
        manifests: [
          { ...one.manifest.descriptor, platform: { os: "linux", architecture: "amd64" } },
          { ...two.manifest.descriptor, platform: { os: "linux", architecture: "arm64", variant: "v8" } },
          { ...one.manifest.descriptor, digest: digestOf("absent"), platform: { os: "linux", architecture: "s390x" } },
          attestation,
        ],
      }),
    );
    const descriptor = { mediaType: MEDIA_TYPE.ociIndex, digest: digestOf(nested), size: nested.length };
    const path = await unpack([
      ...blobEntries([nested, ...one.blobs, ...two.blobs]),
      index([named(descriptor, { "org.opencontainers.image.ref.name": "v1" })]),
      LAYOUT,
    ]);
    await using archive = await openArchive("oci", path);
    expect((await archive.find(parseArchivedName("app:v1"), AMD64)).diffIds).toEqual(image.diffIds);
    for (const platform of ["linux/arm64", "linux/arm64/v8", "linux/arm64/v9"]) {
      expect((await archive.find(undefined, asPlatform(platform))).diffIds).toEqual(arm.diffIds);
    }
    await expect(archive.find(parseArchivedName("app:v1"))).rejects.toThrow(
      "linux/amd64, linux/arm64/v8: choose a platform",
    );
    await expect(archive.find(parseArchivedName("app:v1"), asPlatform("linux/s390x"))).rejects.toThrow(
      /no image app:v1 for linux\/s390x \(its index names .*linux\/s390x/,
    );
    await expect(archive.find(parseArchivedName("app:v1"), asPlatform("windows/amd64"))).rejects.toBeInstanceOf(
      ImageNotFound,
    );
    await expect(archive.find(parseArchivedName("app:v1"), asPlatform("linux/arm64/v7"))).rejects.toBeInstanceOf(
      ImageNotFound,
    );
    expect(archive.list().map(({ platform }) => platform)).toEqual(
      ["linux/amd64", "linux/arm64/v8", "linux/s390x"].map(asPlatform),
    );
  });

  test("of several images: returns the named one, and ignores other artifacts", async () => {
    const chart = Buffer.from(
      JSON.stringify({
        config: { ...one.descriptors[0], mediaType: "application/vnd.cncf.helm.config.v1+json" },
        layers: [],
      }),
    );
    const path = await unpack([
      ...blobEntries([chart, ...one.blobs, ...two.blobs]),
      index([
        { mediaType: MEDIA_TYPE.ociManifest, digest: digestOf(chart), size: chart.length },
        named(one.manifest.descriptor, {
          "io.containerd.image.name": "docker.io/library/app:v1",
          "org.opencontainers.image.ref.name": "v1",
        }),
        named(one.manifest.descriptor, {
          "io.containerd.image.name": "docker.io/library/app:v2",
          "org.opencontainers.image.ref.name": "v2",
        }),
        named(two.manifest.descriptor, {
          "io.containerd.image.name": "example.com/other:v1",
          "org.opencontainers.image.ref.name": "v1",
        }),
      ]),
      LAYOUT,
    ]);
    await using archive = await openArchive("oci", path);
    for (const name of ["app:v1", "app:v2"])
      expect((await archive.find(parseArchivedName(name))).diffIds).toEqual(image.diffIds);
    expect((await archive.find(parseArchivedName("example.com/other:v1"))).diffIds).toEqual(arm.diffIds);
    await expect(archive.find()).rejects.toThrow(
      'it holds 2 images: choose one of "docker.io/library/app:v1", "example.com/other:v1"',
    );
    await expect(archive.find(parseArchivedName("v1"))).rejects.toThrow("choose one of");
    await expect(archive.find(parseArchivedName("app:v3"))).rejects.toThrow(
      'no image app:v3, but one without a name, "docker.io/library/app:v1"',
    );
    await expect(archive.find(parseArchivedName("library/other:v1"))).rejects.toThrow(
      "it holds no image library/other:v1",
    );
    expect((await archive.find(undefined, AMD64)).names).toHaveLength(4);
  });

  test("of two images of one platform: the error lists their names", async () => {
    const other = ociBlobs(await makeImage([55]), plain);
    const path = await unpack([
      ...blobEntries([...one.blobs, ...other.blobs]),
      index([named(one.manifest.descriptor, { "org.opencontainers.image.ref.name": "v1" }), other.manifest.descriptor]),
      LAYOUT,
    ]);
    await using archive = await openArchive("oci", path);
    await expect(archive.find()).rejects.toThrow('it holds 2 images: choose one of "v1", one without a name');
  });

  test("of several variants: returns the highest suitable one", async () => {
    const variants = await Promise.all(
      ["v5", "v6", "v7"].map(async (variant, at) => await makeImage([60 + at], { architecture: "arm", variant })),
    );
    const oci = variants.map((one) => ociBlobs(one, plain));
    const path = await unpack([
      ...blobEntries(oci.flatMap(({ blobs }) => blobs)),
      index(oci.map(({ manifest }) => manifest.descriptor)),
      LAYOUT,
    ]);
    await using archive = await openArchive("oci", path);
    for (const [wanted, at] of [
      ["linux/arm", 2],
      ["linux/arm/v7", 2],
      ["linux/arm/v6", 1],
      ["linux/arm/v8", 2],
    ] as const) {
      expect((await archive.find(undefined, asPlatform(wanted))).diffIds).toEqual(variants[at]?.diffIds);
    }
  });
});
