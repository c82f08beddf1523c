import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { openArchive } from "../../../../src/image/open/open-archive.ts";
import type { BlobFile } from "../../../../src/image/oci/oci-layout.ts";
import { streamOciArchive, writeOciArchive } from "../../../../src/image/oci/write-oci-archive.ts";
import { digestOf, hexOf } from "../../../../src/image/digest.ts";
import { file, filesInTar } from "../archive/files.ts";
import { gzipped, makeImage, ociBlobs } from "../make-image.ts";
import { bytesOf } from "../tar/make-tar.ts";
import { AMD64 } from "../platforms.ts";
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

describe("an OCI archive", () => {
  test("omits the blobs that the target has", async () => {
    const stream = writeOciArchive({ config: image.config, manifest, blobs: await blobs([3]), names: ["app:v1"] });
    const tar = await bytesOf(stream);
    expect(tar).toHaveLength(stream.size);
    expect(Object.keys(await filesInTar(tar)).toSorted()).toEqual(
      [
        `blobs/sha256/${hexOf(manifest.descriptor.digest)}`,
        `blobs/sha256/${hexOf(digestOf(image.config))}`,
        `blobs/sha256/${hexOf(descriptors[3]?.digest ?? "")}`,
        "index.json",
        "oci-layout",
      ].toSorted(),
    );
    const { stdout } = await promisify(execFile)("tar", ["xOf", await file(tar), "index.json"]);
    expect(JSON.parse(stdout)).toEqual({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [
        {
          ...manifest.descriptor,
          annotations: {
            "io.containerd.image.name": "docker.io/library/app:v1",
            "org.opencontainers.image.ref.name": "v1",
          },
        },
      ],
    });
  });

  test("in full can be opened by any of its names", async () => {
    const names = ["app:v1", "registry.example.com:5000/team/app:v1"];
    const path = await file(
      await bytesOf(writeOciArchive({ config: image.config, manifest, blobs: await blobs([0, 1, 2, 3]), names })),
    );
    await using archive = await openArchive("oci-archive", path);
    for (const name of [...names.map(parseArchivedName), undefined]) {
      const found = await archive.find(name, AMD64);
      expect(found.config).toEqual(image.config);
      expect(found.manifest).toEqual(manifest);
      for (const [at, layer] of found.layers.entries())
        expect(digestOf(await bytesOf(layer.open()))).toBe(descriptors[at]?.digest);
    }
  });

  describe("of blobs that are still arriving", () => {
    const never = (error: unknown): void => expect.unreachable(String(error));
    const last = async () => ({ config: image.config, manifest, names: ["app:v1"] });
    async function* arriving(which: number[], error?: Error): AsyncGenerator<BlobFile> {
      yield* await blobs(which);
      if (error !== undefined) throw error;
    }

    test("contains the same as an archive of files, each once, regardless of the order", async () => {
      const streamed = streamOciArchive({ blobs: arriving([3, 0, 3, 2, 0, 1]), finish: last, onError: never });
      const layout = { config: image.config, manifest, blobs: await blobs([0, 1, 2, 3]), names: ["app:v1"] };
      const tar = await bytesOf(streamed);
      expect(await filesInTar(tar)).toEqual(await filesInTar(await bytesOf(writeOciArchive(layout))));
      const { stdout } = await promisify(execFile)("tar", ["tf", await file(tar)]);
      expect(stdout.trim().split("\n")).toHaveLength(8);
      await using archive = await openArchive("oci-archive", await file(tar));
      const { layers } = await archive.find(parseArchivedName("app:v1"));
      for (const [at, layer] of layers.entries()) {
        expect(digestOf(await bytesOf(layer.open()))).toBe(descriptors[at]?.digest);
      }
    });

    test("ends with the index", async () => {
      const order: string[] = [];
      async function* watched(): AsyncGenerator<BlobFile> {
        for await (const blob of arriving([0, 1, 2, 3])) yield ((order.push("blob"), blob));
      }
      const finish = async () => (order.push("finish"), await last());
      const tar = await bytesOf(streamOciArchive({ blobs: watched(), finish, onError: never }));
      expect(order).toEqual(["blob", "blob", "blob", "blob", "finish"]);
      const { stdout } = await promisify(execFile)("tar", ["tf", await file(tar)]);
      expect(stdout.trim().split("\n").at(-1)).toBe("index.json");
    });

    const broken = new Error("there is no more");
    test.each<[string, AsyncIterable<BlobFile>, () => ReturnType<typeof last>]>([
      ["the blobs fail", arriving([0, 1], broken), last],
      ["`finish` fails", arriving([0, 1]), async () => await Promise.reject(broken)],
    ])("ends properly without an image if %s", async (_name, some, finish) => {
      const received: unknown[] = [];
      const archive = streamOciArchive({ blobs: some, finish, onError: (error) => received.push(error) });
      const tar = await bytesOf(archive);
      expect(received).toEqual([broken]);
      expect(Object.keys(await filesInTar(tar)).toSorted()).toEqual(
        [0, 1].map((at) => `blobs/sha256/${hexOf(descriptors[at]?.digest ?? "")}`).toSorted(),
      );
      expect(tar.subarray(-1024).equals(Buffer.alloc(1024))).toBe(true); // checked, because tar(1) accepts a tar without an end
    });
  });
});
