import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { ArchivedLayer } from "../../../../src/image/archive/image-archive.ts";
import { openArchive } from "../../../../src/image/open-archive.ts";

import {
  streamDockerArchive,
  writeDockerArchive,
  type LayerToStream,
  type LayerToWrite,
} from "../../../../src/image/docker/write-docker-archive.ts";
import type { BlobFile, OciLayoutToWrite } from "../../../../src/image/oci/oci-layout.ts";
import { addImageToIndex, writeImageBlobs } from "../../../../src/image/oci/write-oci-folder.ts";
import { streamOciArchive, writeOciArchive } from "../../../../src/image/oci/write-oci-archive.ts";
import { writeTar } from "../../../../src/image/tar/write-tar.ts";
import { digestOf, hexOf, type Digest } from "../../../../src/image/digest.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import { file, folder } from "./files.ts";
import { gzipped, makeImage, ociBlobs, type TestImage } from "../make-image.ts";
import { bytesOf } from "../tar/make-tar.ts";

const image = await makeImage([3000, 70_000, 200, 9000]);

/** All layers as files but those at `here`. */
async function layersOf({ layers, diffIds }: TestImage, here: number[] = []): Promise<LayerToWrite[]> {
  return await Promise.all(
    layers.map(async (layer, at) => {
      const diffId = diffIds[at] ?? "";
      if (here.includes(at)) return { kind: "here" as const, diffId };
      return { kind: "file" as const, diffId, path: await file(layer), blob: { size: layer.length } };
    }),
  );
}

/** Puts an image into a folder, and lists it there. */
async function writeOciDirectory(path: string, layout: OciLayoutToWrite): Promise<void> {
  await writeImageBlobs(path, layout, "run");
  await addImageToIndex(path, layout.manifest.descriptor, layout.names, "run");
}

/** What tar(1) makes of it: path and size of each file. */
async function listed(tar: Buffer): Promise<Record<string, number>> {
  const to = await mkdtemp(join(folder, "unpacked-"));
  await promisify(execFile)("tar", ["-xf", await file(tar), "-C", to]);
  const sizes: Record<string, number> = {};
  for (const name of await readdir(to, { recursive: true })) {
    const found = await stat(join(to, name));
    if (found.isFile()) sizes[name] = found.size;
  }
  return sizes;
}

async function read(layer: ArchivedLayer | undefined): Promise<Buffer> {
  if (layer === undefined) throw new Error("no layer");
  return await bytesOf(layer.open());
}

describe("a docker archive", () => {
  test("has empty files for the layers that are there", async () => {
    const stream = writeDockerArchive({
      config: image.config,
      layers: await layersOf(image, [0, 1, 2]),
      names: ["app:v1", "app:v2"],
    });
    const tar = await bytesOf(stream);
    expect(tar).toHaveLength(stream.size);
    const names = image.diffIds.map((diffId) => `${hexOf(diffId)}.tar`);
    const config = `${hexOf(digestOf(image.config))}.json`;
    expect(await listed(tar)).toEqual({
      "manifest.json": expect.any(Number) as number,
      [config]: image.config.length,
      [names[0] ?? ""]: 0,
      [names[1] ?? ""]: 0,
      [names[2] ?? ""]: 0,
      [names[3] ?? ""]: image.layers[3]?.length,
    });
    const { stdout } = await promisify(execFile)("tar", ["xOf", await file(tar), "manifest.json"]);
    expect(JSON.parse(stdout)).toEqual([{ Config: config, RepoTags: ["app:v1", "app:v2"], Layers: names }]);
  });

  test("in full is read again", async () => {
    const path = await file(
      await bytesOf(writeDockerArchive({ config: image.config, layers: await layersOf(image), names: [] })),
    );
    await using archive = await openArchive("docker-archive", path);
    const found = await archive.find();
    expect(found.config).toEqual(image.config);
    for (const [at, layer] of found.layers.entries())
      expect(digestOf(await bytesOf(layer.open()))).toBe(image.diffIds[at]);
  });

  test("in part is read again, but for the layers that are not in it", async () => {
    const partial = writeDockerArchive({ config: image.config, layers: await layersOf(image, [0]), names: [] });
    await using archive = await openArchive("docker-archive", await file(await bytesOf(partial)));
    const [absent, whole] = (await archive.find()).layers;
    expect(absent?.absent?.path).toBe(`${hexOf(image.diffIds[0] ?? "")}.tar`);
    await expect(read(absent)).rejects.toThrow("has no file");
    expect(digestOf(await read(whole))).toBe(image.diffIds[1]);
  });

  test("has a layer that an image has twice once, in full if one of the two is not there", async () => {
    const twice = await makeImage([3000, 200, 3000]);
    for (const here of [[0], [2], [0, 2]]) {
      const tar = await bytesOf(
        writeDockerArchive({ config: twice.config, layers: await layersOf(twice, here), names: [] }),
      );
      const size = (await listed(tar))[`${hexOf(twice.diffIds[0] ?? "")}.tar`];
      expect(size).toBe(here.length === 2 ? 0 : twice.layers[0]?.length);
      expect(Object.keys(await listed(tar))).toHaveLength(4);
    }
  });

  test("of layers that are not the config's is refused", async () => {
    const layers = await layersOf(image, [0, 1, 2, 3]);
    for (const wrong of [layers.slice(1), layers.toReversed(), []]) {
      expect(() => writeDockerArchive({ config: image.config, layers: wrong, names: [] })).toThrow(InvalidImage);
    }
  });

  test.each([-1, 1])("fails when a file has %i bytes more than was said", async (more) => {
    const [layer] = await layersOf(image);
    if (layer?.kind !== "file") throw new Error("no file");
    const layers = [{ ...layer, blob: { size: layer.blob.size - more } }, ...(await layersOf(image)).slice(1)];
    await expect(bytesOf(writeDockerArchive({ config: image.config, layers, names: [] }))).rejects.toThrow(
      "Size mismatch",
    );
  });

  describe("of layers that are still coming", () => {
    /** Those at `indices`, in that order. */
    async function* coming(indices: number[], change: Partial<LayerToStream> = {}): AsyncGenerator<LayerToStream> {
      for (const at of indices) {
        const bytes = image.layers[at] ?? Buffer.alloc(0);
        const open = async (): Promise<Readable> => Readable.from([bytes], { objectMode: false });
        yield { diffId: image.diffIds[at] ?? "", size: bytes.length, open, ...change };
      }
    }
    const finish = (here: Digest[] = [], names: string[] = []) => {
      return async () => ({ config: image.config, here, names });
    };

    test("holds the same as one of files, whatever their order", async () => {
      const here = image.diffIds.slice(0, 2);
      const streamed = streamDockerArchive({ layers: coming([3, 2]), finish: finish(here, ["app:v1"]) });
      const layers = await layersOf(image, [0, 1]);
      const written = writeDockerArchive({ config: image.config, layers, names: ["app:v1"] });
      expect(await listed(await bytesOf(streamed))).toEqual(await listed(await bytesOf(written)));
      const whole = streamDockerArchive({ layers: coming([2, 0, 3, 1]), finish: finish() });
      await using archive = await openArchive("docker-archive", await file(await bytesOf(whole)));
      for (const [at, layer] of (await archive.find()).layers.entries()) {
        expect(digestOf(await bytesOf(layer.open()))).toBe(image.diffIds[at]);
      }
    });

    test("says what it holds behind all layers, so that one that breaks off holds nothing", async () => {
      const order: string[] = [];
      async function* layers(): AsyncGenerator<LayerToStream> {
        for await (const layer of coming([0, 1, 2, 3])) yield ((order.push("layer"), layer));
      }
      const last = async () => (order.push("finish"), await finish()());
      const tar = await bytesOf(streamDockerArchive({ layers: layers(), finish: last }));
      expect(order).toEqual(["layer", "layer", "layer", "layer", "finish"]);
      const { stdout } = await promisify(execFile)("tar", ["tf", await file(tar)]);
      expect(stdout.split("\n").findIndex((name) => name.endsWith(".json"))).toBe(4);
    });

    test.each<[string, AsyncIterable<LayerToStream>, string]>([
      ["a layer is missing", coming([0, 1, 2]), "not the layers of its config"],
      ["a layer is larger than was said", coming([0, 1, 2, 3], { size: 10 }), "Size mismatch"],
      [
        "a layer breaks off",
        coming([0], { open: async () => Readable.from(failing(), { objectMode: false }) }),
        "it broke off",
      ],
    ])("fails when %s", async (_name, layers, words) => {
      await expect(bytesOf(streamDockerArchive({ layers, finish: finish() }))).rejects.toThrow(words);
    });

    test("fails when there is no image after all", async () => {
      const none = async () => await Promise.reject(new Error("it is not to come"));
      const archive = streamDockerArchive({ layers: coming([0, 1, 2, 3]), finish: none });
      await expect(bytesOf(archive)).rejects.toThrow("it is not to come");
    });

    test("fails, and no more than that, when a layer cannot be opened or its reader leaves", async () => {
      const layers = coming([0], { open: async () => await Promise.reject(new Error("it is not to be had")) });
      await expect(bytesOf(streamDockerArchive({ layers, finish: finish() }))).rejects.toThrow("to be had");
      let opened!: () => void;
      const isOpen = new Promise<void>((resolve) => (opened = resolve));
      const never = async (): Promise<Readable> => (opened(), new Readable({ read() {} }));
      const left = streamDockerArchive({ layers: coming([0], { open: never }), finish: finish() });
      left.resume();
      await isOpen;
      left.destroy();
      await new Promise((resolve) => left.once("close", resolve));
    });

    async function* failing(): AsyncGenerator<Buffer> {
      yield Buffer.alloc(100);
      throw new Error("it broke off");
    }
  });

  test("fails when a file is not there", async () => {
    const layers = (await layersOf(image)).map((layer) => ({ ...layer, path: join(folder, "nowhere") }));
    await expect(bytesOf(writeDockerArchive({ config: image.config, layers, names: [] }))).rejects.toThrow("ENOENT");
  });
});

describe("a tar", () => {
  test("is not read before it is asked for, and no faster", async () => {
    const path = await file(Buffer.alloc(5_000_000));
    const stream = writeTar([{ path: "large", file: path, size: 5_000_000 }]);
    await new Promise((resolve) => stream.once("readable", resolve));
    for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(stream.readableLength).toBeLessThan(300_000);
    expect(await bytesOf(stream)).toHaveLength(stream.size);
  });

  test("that is left early lets go of its files", async () => {
    const path = await file(Buffer.alloc(5_000_000));
    const stream = writeTar([{ path: "large", file: path, size: 5_000_000 }]);
    for await (const _ of stream) break;
    expect(stream.destroyed).toBe(true);
  });

  test("of a file larger than 8 GB says so in its header", async () => {
    const size = 9 * 1024 ** 3;
    const stream = writeTar([{ path: "large", file: join(folder, "nowhere"), size }]);
    expect(stream.size).toBe(512 + size + 1024);
    stream.destroy();
  });
});

describe("an OCI layout", () => {
  const { descriptors, manifest } = ociBlobs(image, gzipped);
  const blobs = async (which: number[]) =>
    await Promise.all(
      which.map(async (at) => {
        const blob = gzipSync(image.layers[at] ?? Buffer.alloc(0));
        return { digest: digestOf(blob), path: await file(blob), size: blob.length };
      }),
    );

  test("leaves out the blobs that are there", async () => {
    const stream = writeOciArchive({ config: image.config, manifest, blobs: await blobs([3]), names: ["app:v1"] });
    const tar = await bytesOf(stream);
    expect(tar).toHaveLength(stream.size);
    expect(Object.keys(await listed(tar)).toSorted()).toEqual(
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

  test("in full is read again by any of its names", async () => {
    const names = ["app:v1", "registry.example.com:5000/team/app:v1"];
    const path = await file(
      await bytesOf(writeOciArchive({ config: image.config, manifest, blobs: await blobs([0, 1, 2, 3]), names })),
    );
    await using archive = await openArchive("oci-archive", path);
    for (const name of [...names, undefined]) {
      const found = await archive.find(name, "linux/amd64");
      expect(found.config).toEqual(image.config);
      expect(found.manifest).toEqual(manifest);
      for (const [at, layer] of found.layers.entries())
        expect(digestOf(await bytesOf(layer.open()))).toBe(descriptors[at]?.digest);
    }
  });

  describe("of blobs that are still coming", () => {
    const never = (error: unknown): void => expect.unreachable(String(error));
    const last = async () => ({ config: image.config, manifest, names: ["app:v1"] });
    async function* coming(which: number[], error?: Error): AsyncGenerator<BlobFile> {
      yield* await blobs(which);
      if (error !== undefined) throw error;
    }

    test("holds the same as one of files, whatever their order, each once", async () => {
      const streamed = streamOciArchive({ blobs: coming([3, 0, 3, 2, 0, 1]), finish: last, onError: never });
      const layout = { config: image.config, manifest, blobs: await blobs([0, 1, 2, 3]), names: ["app:v1"] };
      const tar = await bytesOf(streamed);
      expect(await listed(tar)).toEqual(await listed(await bytesOf(writeOciArchive(layout))));
      const { stdout } = await promisify(execFile)("tar", ["tf", await file(tar)]);
      expect(stdout.trim().split("\n")).toHaveLength(8);
      await using archive = await openArchive("oci-archive", await file(tar));
      const { layers } = await archive.find("app:v1");
      for (const [at, layer] of layers.entries()) {
        expect(digestOf(await bytesOf(layer.open()))).toBe(descriptors[at]?.digest);
      }
    });

    test("says what it holds behind all blobs", async () => {
      const order: string[] = [];
      async function* watched(): AsyncGenerator<BlobFile> {
        for await (const blob of coming([0, 1, 2, 3])) yield ((order.push("blob"), blob));
      }
      const finish = async () => (order.push("finish"), await last());
      const tar = await bytesOf(streamOciArchive({ blobs: watched(), finish, onError: never }));
      expect(order).toEqual(["blob", "blob", "blob", "blob", "finish"]);
      const { stdout } = await promisify(execFile)("tar", ["tf", await file(tar)]);
      expect(stdout.trim().split("\n").at(-1)).toBe("index.json");
    });

    const broken = new Error("there is no more");
    test.each<[string, AsyncIterable<BlobFile>, () => ReturnType<typeof last>]>([
      ["the blobs fail", coming([0, 1], broken), last],
      ["there is no image after all", coming([0, 1]), async () => await Promise.reject(broken)],
    ])("ends in good order and holds no image when %s", async (_name, some, finish) => {
      const received: unknown[] = [];
      const archive = streamOciArchive({ blobs: some, finish, onError: (error) => received.push(error) });
      const tar = await bytesOf(archive);
      expect(received).toEqual([broken]);
      expect(Object.keys(await listed(tar)).toSorted()).toEqual(
        [0, 1].map((at) => `blobs/sha256/${hexOf(descriptors[at]?.digest ?? "")}`).toSorted(),
      );
      expect(tar.subarray(-1024).equals(Buffer.alloc(1024))).toBe(true); // tar(1) does without
    });
  });

  describe("in a folder", () => {
    const all = async (path: string): Promise<string[]> =>
      (await readdir(path, { recursive: true })).filter((name) => name.includes(".part"));

    test("is made, and extended", async () => {
      const path = join(folder, "layout");
      const second = await makeImage([3000, 500]);
      const secondOci = ociBlobs(second, gzipped);
      await writeOciDirectory(path, {
        config: image.config,
        manifest,
        blobs: await blobs([0, 1, 2, 3]),
        names: ["app:v1", "app:latest"],
      });
      const index = JSON.parse(await readFile(join(path, "index.json"), "utf8")) as {
        manifests: object[];
        extra?: string;
      };
      // What another tool wrote, this one does not know of, and keeps.
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
      await writeOciDirectory(path, {
        config: second.config,
        manifest: top,
        blobs: secondBlobs,
        names: ["app:latest"],
      });

      await using archive = await openArchive("oci", path);
      expect((await archive.find("app:v1")).configDigest).toBe(digestOf(image.config));
      expect((await archive.find("theirs")).configDigest).toBe(digestOf(image.config));
      const found = await archive.find("app:latest");
      expect(found.configDigest).toBe(digestOf(second.config));
      for (const [at, layer] of found.layers.entries())
        expect(digestOf(await bytesOf(layer.open()))).toBe(secondOci.descriptors[at]?.digest);
      const after = JSON.parse(await readFile(join(path, "index.json"), "utf8")) as {
        manifests: { unknown?: number[] }[];
        extra: string;
      };
      expect(after.extra).toBe("kept");
      expect(after.manifests.map(({ unknown }) => unknown)).toEqual([undefined, [1], undefined]);
      expect(await all(path)).toEqual([]);
    });

    test("without a name is listed once, however often it is written", async () => {
      const path = join(folder, "nameless");
      for (let times = 0; times < 3; times += 1) {
        await writeOciDirectory(path, { config: image.config, manifest, blobs: await blobs([0, 1, 2, 3]), names: [] });
      }
      await using archive = await openArchive("oci", path);
      expect(archive.list()).toHaveLength(1);
    });

    test("stays as it was when a blob fails", async () => {
      const path = join(folder, "failing");
      await writeOciDirectory(path, {
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
        const done = writeOciDirectory(path, {
          config: other.config,
          manifest: otherManifest,
          blobs: [blob],
          names: ["app:v1"],
        });
        await expect(done).rejects.toThrow(message);
      }
      expect(await readFile(join(path, "index.json"))).toEqual(before);
      expect(await all(path)).toEqual([]);
    });

    test("mends a blob that is there in part", async () => {
      const path = join(folder, "mended");
      const layout = async () => ({
        config: image.config,
        manifest,
        blobs: await blobs([0, 1, 2, 3]),
        names: ["app:v1"],
      });
      await writeOciDirectory(path, await layout());
      await writeFile(join(path, "blobs", "sha256", hexOf(descriptors[1]?.digest ?? "")), "");
      await writeOciDirectory(path, await layout());
      await using archive = await openArchive("oci", path);
      expect((await archive.find()).layers).toHaveLength(4);
    });

    test.each(["[]", "{}", "not JSON", '{"layers":[],"config":{}}'])(
      "with an index.json of %j is refused, and left alone",
      async (text) => {
        const path = await mkdtemp(join(folder, "odd-"));
        await writeFile(join(path, "index.json"), text);
        const layout = { config: image.config, manifest, blobs: [], names: [] };
        await expect(writeOciDirectory(path, layout)).rejects.toThrow(InvalidImage);
        expect(await readFile(join(path, "index.json"), "utf8")).toBe(text);
      },
    );
  });
});
