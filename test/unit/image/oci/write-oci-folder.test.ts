import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { openArchive } from "../../../../src/image/open/open-archive.ts";
import type { OciLayoutToWrite } from "../../../../src/image/oci/oci-layout.ts";
import { addImageToIndex, writeImageBlobs } from "../../../../src/image/oci/write-oci-folder.ts";
import { digestOf, hexOf } from "../../../../src/image/digest.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import { file, folder } from "../archive/files.ts";
import { gzipped, makeImage, ociBlobs } from "../make-image.ts";
import { bytesOf } from "../tar/make-tar.ts";
import { parseArchivedName } from "../../../../src/image/archived-name.ts";

const image = await makeImage([3000, 70_000, 200, 9000]);

const { descriptors, manifest } = ociBlobs(image, gzipped);
/** Writes the compressed layers at these positions to files. */
const blobs = async (which: number[]) =>
  await Promise.all(
    which.map(async (at) => {
      const blob = gzipSync(image.layers[at] ?? Buffer.alloc(0));
      return { digest: digestOf(blob), path: await file(blob), size: blob.length };
    }),
  );

/** Writes an image into a folder, and adds it to the index. */
async function writeOciFolder(path: string, layout: OciLayoutToWrite): Promise<void> {
  await writeImageBlobs(path, layout, "run");
  await addImageToIndex(path, layout.manifest.descriptor, layout.names, "run");
}

describe("an OCI layout in a folder", () => {
  const temporaryFiles = async (path: string): Promise<string[]> =>
    (await readdir(path, { recursive: true })).filter((name) => name.includes(".part"));

  test("is created, and extended", async () => {
    const path = join(folder, "layout");
    const second = await makeImage([3000, 500]);
    const secondOci = ociBlobs(second, gzipped);
    await writeOciFolder(path, {
      config: image.config,
      manifest,
      blobs: await blobs([0, 1, 2, 3]),
      names: ["app:v1", "app:latest"],
    });
    const index = JSON.parse(await readFile(join(path, "index.json"), "utf8")) as {
      manifests: object[];
      extra?: string;
    };
    // Entries and fields of other tools stay.
    index.extra = "kept";
    index.manifests.push({
      ...manifest.descriptor,
      annotations: { "org.opencontainers.image.ref.name": "theirs" },
      unknown: [1],
    });
    await writeFile(join(path, "index.json"), JSON.stringify(index));

    const top = secondOci.manifest;
    const secondBlobs = [
      {
        digest: secondOci.descriptors[1]?.digest ?? "",
        path: await file(gzipSync(second.layers[1] ?? "")),
        size: secondOci.descriptors[1]?.size ?? 0,
      },
    ];
    await writeOciFolder(path, {
      config: second.config,
      manifest: top,
      blobs: secondBlobs,
      names: ["app:latest"],
    });

    await using archive = await openArchive("oci", path);
    expect((await archive.find(parseArchivedName("app:v1"))).configDigest).toBe(digestOf(image.config));
    expect((await archive.find(parseArchivedName("theirs"))).configDigest).toBe(digestOf(image.config));
    const found = await archive.find(parseArchivedName("app:latest"));
    expect(found.configDigest).toBe(digestOf(second.config));
    for (const [at, layer] of found.layers.entries())
      expect(digestOf(await bytesOf(layer.open()))).toBe(secondOci.descriptors[at]?.digest);
    const after = JSON.parse(await readFile(join(path, "index.json"), "utf8")) as {
      manifests: { unknown?: number[] }[];
      extra: string;
    };
    expect(after.extra).toBe("kept");
    expect(after.manifests.map(({ unknown }) => unknown)).toEqual([undefined, [1], undefined]);
    expect(await temporaryFiles(path)).toEqual([]);
  });

  test("lists an image without a name once, even if it is written several times", async () => {
    const path = join(folder, "nameless");
    for (let times = 0; times < 3; times += 1) {
      await writeOciFolder(path, { config: image.config, manifest, blobs: await blobs([0, 1, 2, 3]), names: [] });
    }
    await using archive = await openArchive("oci", path);
    expect(archive.list()).toHaveLength(1);
  });

  test("keeps its index if a blob fails", async () => {
    const path = join(folder, "failing");
    await writeOciFolder(path, {
      config: image.config,
      manifest,
      blobs: await blobs([0, 1, 2, 3]),
      names: ["app:v1"],
    });
    const before = await readFile(join(path, "index.json"));
    const other = await makeImage([123]);
    const { manifest: otherManifest } = ociBlobs(other, gzipped);
    const missing = { digest: digestOf("x"), path: join(folder, "nowhere"), size: 5 };
    const short = { digest: digestOf("x"), path: await file(Buffer.from("four")), size: 5 };
    for (const [blob, message] of [
      [missing, "ENOENT"],
      [short, "has 4 bytes, not 5"],
    ] as const) {
      const done = writeOciFolder(path, {
        config: other.config,
        manifest: otherManifest,
        blobs: [blob],
        names: ["app:v1"],
      });
      await expect(done).rejects.toThrow(message);
    }
    expect(await readFile(join(path, "index.json"))).toEqual(before);
    expect(await temporaryFiles(path)).toEqual([]);
  });

  test("replaces a truncated blob", async () => {
    const path = join(folder, "replaced");
    const layout = async () => ({
      config: image.config,
      manifest,
      blobs: await blobs([0, 1, 2, 3]),
      names: ["app:v1"],
    });
    await writeOciFolder(path, await layout());
    await writeFile(join(path, "blobs", "sha256", hexOf(descriptors[1]?.digest ?? "")), "");
    await writeOciFolder(path, await layout());
    await using archive = await openArchive("oci", path);
    expect((await archive.find()).layers).toHaveLength(4);
  });

  test.each(["[]", "{}", "not JSON", '{"layers":[],"config":{}}'])(
    "with an index.json of %j is refused, and unchanged",
    async (text) => {
      const path = await mkdtemp(join(folder, "odd-"));
      await writeFile(join(path, "index.json"), text);
      const layout = { config: image.config, manifest, blobs: [], names: [] };
      await expect(writeOciFolder(path, layout)).rejects.toThrow(InvalidImage);
      expect(await readFile(join(path, "index.json"), "utf8")).toBe(text);
    },
  );
});
