import { execFile } from "node:child_process";
import { join } from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import type { ArchivedLayer } from "../../../../src/image/archive/image-archive.ts";
import { openArchive } from "../../../../src/image/open/open-archive.ts";
import {
  streamDockerArchive,
  writeDockerArchive,
  type LayerToStream,
  type LayerToWrite,
} from "../../../../src/image/docker/write-docker-archive.ts";
import { digestOf, hexOf, type Digest } from "../../../../src/image/digest.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import { file, folder, filesInTar } from "../archive/files.ts";
import { makeImage, type TestImage } from "../make-image.ts";
import { bytesOf } from "../tar/make-tar.ts";

const image = await makeImage([3000, 70_000, 200, 9000]);

/** Writes all layers except those at `present` to files. */
async function layersOf({ layers, diffIds }: TestImage, present: number[] = []): Promise<LayerToWrite[]> {
  return await Promise.all(
    layers.map(async (layer, at) => {
      const diffId = diffIds[at] ?? "";
      if (present.includes(at)) return { kind: "present" as const, diffId };
      return { kind: "file" as const, diffId, path: await file(layer), blob: { size: layer.length } };
    }),
  );
}

async function read(layer: ArchivedLayer | undefined): Promise<Buffer> {
  if (layer === undefined) throw new Error("no layer");
  return await bytesOf(layer.open());
}

describe("a docker archive", () => {
  test("has empty files for the layers that the engine has", async () => {
    const stream = writeDockerArchive({
      config: image.config,
      layers: await layersOf(image, [0, 1, 2]),
      names: ["app:v1", "app:v2"],
    });
    const tar = await bytesOf(stream);
    expect(tar).toHaveLength(stream.size);
    const names = image.diffIds.map((diffId) => `${hexOf(diffId)}.tar`);
    const config = `${hexOf(digestOf(image.config))}.json`;
    expect(await filesInTar(tar)).toEqual({
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

  test("in full can be opened", async () => {
    const path = await file(
      await bytesOf(writeDockerArchive({ config: image.config, layers: await layersOf(image), names: [] })),
    );
    await using archive = await openArchive("docker-archive", path);
    const found = await archive.find();
    expect(found.config).toEqual(image.config);
    for (const [at, layer] of found.layers.entries())
      expect(digestOf(await bytesOf(layer.open()))).toBe(image.diffIds[at]);
  });

  test("in part can be opened; the other layers are absent", async () => {
    const partial = writeDockerArchive({ config: image.config, layers: await layersOf(image, [0]), names: [] });
    await using archive = await openArchive("docker-archive", await file(await bytesOf(partial)));
    const [absent, whole] = (await archive.find()).layers;
    expect(absent?.absent?.path).toBe(`${hexOf(image.diffIds[0] ?? "")}.tar`);
    await expect(read(absent)).rejects.toThrow("has no file");
    expect(digestOf(await read(whole))).toBe(image.diffIds[1]);
  });

  test("contains a layer that an image has twice once, in full if the engine lacks one of them", async () => {
    const twice = await makeImage([3000, 200, 3000]);
    for (const present of [[0], [2], [0, 2]]) {
      const tar = await bytesOf(
        writeDockerArchive({ config: twice.config, layers: await layersOf(twice, present), names: [] }),
      );
      const size = (await filesInTar(tar))[`${hexOf(twice.diffIds[0] ?? "")}.tar`];
      expect(size).toBe(present.length === 2 ? 0 : twice.layers[0]?.length);
      expect(Object.keys(await filesInTar(tar))).toHaveLength(4);
    }
  });

  test("with layers that differ from the config is rejected", async () => {
    const layers = await layersOf(image, [0, 1, 2, 3]);
    for (const wrong of [layers.slice(1), layers.toReversed(), []]) {
      expect(() => writeDockerArchive({ config: image.config, layers: wrong, names: [] })).toThrow(InvalidImage);
    }
  });

  test.each([-1, 1])("fails if a file has %i bytes more than its `size`", async (more) => {
    const [layer] = await layersOf(image);
    if (layer?.kind !== "file") throw new Error("no file");
    const layers = [{ ...layer, blob: { size: layer.blob.size - more } }, ...(await layersOf(image)).slice(1)];
    await expect(bytesOf(writeDockerArchive({ config: image.config, layers, names: [] }))).rejects.toThrow(
      "Size mismatch",
    );
  });

  describe("of layers that are still arriving", () => {
    /** Yields the layers at `indices`, in that order. */
    async function* arriving(indices: number[], change: Partial<LayerToStream> = {}): AsyncGenerator<LayerToStream> {
      for (const at of indices) {
        const bytes = image.layers[at] ?? Buffer.alloc(0);
        const open = async (): Promise<Readable> => Readable.from([bytes], { objectMode: false });
        yield { diffId: image.diffIds[at] ?? "", size: bytes.length, open, ...change };
      }
    }
    const finish = (present: Digest[] = [], names: string[] = []) => {
      return async () => ({ config: image.config, present, names });
    };

    test("contains the same as an archive of files, regardless of the order", async () => {
      const present = image.diffIds.slice(0, 2);
      const streamed = streamDockerArchive({ layers: arriving([3, 2]), finish: finish(present, ["app:v1"]) });
      const layers = await layersOf(image, [0, 1]);
      const written = writeDockerArchive({ config: image.config, layers, names: ["app:v1"] });
      expect(await filesInTar(await bytesOf(streamed))).toEqual(await filesInTar(await bytesOf(written)));
      const whole = streamDockerArchive({ layers: arriving([2, 0, 3, 1]), finish: finish() });
      await using archive = await openArchive("docker-archive", await file(await bytesOf(whole)));
      for (const [at, layer] of (await archive.find()).layers.entries()) {
        expect(digestOf(await bytesOf(layer.open()))).toBe(image.diffIds[at]);
      }
    });

    test("ends with manifest and config, so that a truncated archive contains no image", async () => {
      const order: string[] = [];
      async function* layers(): AsyncGenerator<LayerToStream> {
        for await (const layer of arriving([0, 1, 2, 3])) yield ((order.push("layer"), layer));
      }
      const last = async () => (order.push("finish"), await finish()());
      const tar = await bytesOf(streamDockerArchive({ layers: layers(), finish: last }));
      expect(order).toEqual(["layer", "layer", "layer", "layer", "finish"]);
      const { stdout } = await promisify(execFile)("tar", ["tf", await file(tar)]);
      expect(stdout.split("\n").findIndex((name) => name.endsWith(".json"))).toBe(4);
    });

    test.each<[string, AsyncIterable<LayerToStream>, string]>([
      ["a layer is missing", arriving([0, 1, 2]), "not the layers of its config"],
      ["a layer is larger than its `size`", arriving([0, 1, 2, 3], { size: 10 }), "Size mismatch"],
      [
        "a layer breaks off",
        arriving([0], { open: async () => Readable.from(failing(), { objectMode: false }) }),
        "it broke off",
      ],
    ])("fails if %s", async (_name, layers, words) => {
      await expect(bytesOf(streamDockerArchive({ layers, finish: finish() }))).rejects.toThrow(words);
    });

    test("fails if `finish` fails", async () => {
      const fails = async () => await Promise.reject(new Error("finish failed"));
      const archive = streamDockerArchive({ layers: arriving([0, 1, 2, 3]), finish: fails });
      await expect(bytesOf(archive)).rejects.toThrow("finish failed");
    });

    test("fails without an unhandled error if a layer cannot be opened or the reader stops", async () => {
      const layers = arriving([0], { open: async () => await Promise.reject(new Error("it cannot be opened")) });
      await expect(bytesOf(streamDockerArchive({ layers, finish: finish() }))).rejects.toThrow("cannot be opened");
      let opened!: () => void;
      const isOpen = new Promise<void>((resolve) => (opened = resolve));
      const never = async (): Promise<Readable> => (opened(), new Readable({ read() {} }));
      const left = streamDockerArchive({ layers: arriving([0], { open: never }), finish: finish() });
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

  test("fails if a file is missing", async () => {
    const layers = (await layersOf(image)).map((layer) => ({ ...layer, path: join(folder, "nowhere") }));
    await expect(bytesOf(writeDockerArchive({ config: image.config, layers, names: [] }))).rejects.toThrow("ENOENT");
  });
});
