import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterAll, describe, expect, test } from "vitest";
import type { Engine } from "../../../src/engine/engine.ts";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { tarEntries } from "../../../src/image/tar/tar-entries.ts";
import { digestOf, type Digest } from "../../../src/image/digest.ts";
import {
  MEDIA_TYPE,
  parseImageManifest,
  type Descriptor,
  type Index,
  type Manifest,
} from "../../../src/image/manifest.ts";
import { findRelatedImages, type RelatedImage } from "../../../src/store/related-images.ts";
import { containerdStore } from "../../../src/store/containerd-store.ts";
import type { ImageToLoad, LayerFile } from "../../../src/store/store.ts";
import { blobsByDryLoad } from "../../../src/store/blobs-by-dry-load.ts";
import { queue } from "../../../src/streams/queue.ts";
import type { Detail } from "../../../src/output/details.ts";
import { detailText } from "../../../src/output/detail-texts.ts";
import { AMD64 } from "../image/platforms.ts";
import type { Platform } from "../../../src/image/platform.ts";

const diffIds = ["one", "two", "three"].map(digestOf);
const blobs = ["gzip one", "gzip two"].map((bytes): Descriptor => ({
  mediaType: MEDIA_TYPE.ociLayerGzip,
  digest: digestOf(bytes),
  size: 1000,
}));

/** An engine with an image of the two lowest layers, and with the first `held` of their blobs. */
function engineWith(held: number, onLoad: (names: string) => void = () => {}) {
  const loads: string[] = [];
  let size = 0;
  const engine = {
    address: "a fake",
    listImageIds: async () => ["relative"],
    inspectImage: async () => ({ id: "relative", diffIds: diffIds.slice(0, 2), platform: AMD64, size: 0 }),
    async loadImage(archive: Readable) {
      const tar = (await buffer(archive)).toString("latin1");
      const named = blobs.filter(({ digest }) => tar.includes(`"digest":"${digest}"`));
      size = 500 + named.filter((blob) => blobs.indexOf(blob) < held).reduce((all, blob) => all + blob.size, 0);
      onLoad(tar);
    },
    async listedSize(name: string) {
      loads.push(name);
      return size;
    },
    removeReference: async () => {},
  };
  return { engine: engine as unknown as Engine, loads };
}

const details: string[] = [];
const dryLoadsWith = (known: Descriptor[] | undefined, relatedImages: readonly RelatedImage[] = []) => ({
  platform: AMD64,
  dryLoadName: "localhost/dry-load:1",
  relatedImages: async () => relatedImages,
  blobsOf: async (_id: string) => known,
  signal: new AbortController().signal,
  onDetail: (detail: Detail) => details.push(detailText(detail)),
});
/** Options of a store for loads. The image determines which layers are present. */
const loading = {
  platform: AMD64,
  nameForLowest: (count: number) => `localhost/lowest-${count}:1`,
  blobs: { present: async () => ({ lowest: [], others: [] }) },
};

async function presentIn(engine: Engine) {
  const relatedImages = await findRelatedImages(engine, diffIds);
  return (await blobsByDryLoad(engine, dryLoadsWith(blobs, relatedImages)).present(diffIds)).lowest;
}

test("reports layers as present if the engine counts their blobs in an image of only these layers", async () => {
  const { engine, loads } = engineWith(2);
  const lowest = await presentIn(engine);
  expect(lowest).toEqual(blobs.map((blob, index) => ({ kind: "present", diffId: diffIds[index], blob })));
  expect(loads).toEqual(["localhost/dry-load:1"]);
});

test("reports a layer as missing, with those above it, if the engine does not count its blob", async () => {
  expect(await presentIn(engineWith(1).engine)).toHaveLength(1);
  expect(await presentIn(engineWith(0).engine)).toEqual([]);
  expect(details).toEqual(["unpacked layers are sent, because the engine does not show that it has their blobs"]);
});

describe("with a manifest to preserve", () => {
  const other = { ...blobs[1], digest: digestOf("compressed otherwise") } as Descriptor;
  const [one, two] = blobs as [Descriptor, Descriptor];

  /** Returns the present layers, for related images with these blobs. */
  async function presentOf(images: Descriptor[][], held = 2) {
    const known = new Map(images.map((layers, index) => [`image ${index}`, layers]));
    const queriedImages: string[] = [];
    const blobsOf = async (id: string) => (queriedImages.push(id), known.get(id));
    const relatedImages = images.map(({ length: shared }, index) => ({
      id: `image ${index}`,
      diffIds: diffIds.slice(0, shared),
      shared,
    }));
    const { engine } = engineWith(held);
    const store = blobsByDryLoad(engine, { ...dryLoadsWith(undefined, relatedImages), blobsOf });
    const third = { ...one, digest: digestOf("gzip three") };
    return { lowest: (await store.present(diffIds, [one, two, third])).lowest, queriedImages };
  }

  test("reports a layer as present only as the blob that the manifest names", async () => {
    const { lowest } = await presentOf([[one, other]]);
    expect(lowest).toEqual([{ kind: "present", diffId: diffIds[0], blob: one }]);
    expect((await presentOf([[other, two]])).lowest).toEqual([]);
    expect((await presentOf([[one, two]], 1)).lowest).toHaveLength(1);
  });

  test("uses the related image with the most of these blobs, and stops when all are found", async () => {
    expect(await presentOf([[other, two], [one, two], [one]])).toMatchObject({
      lowest: [{ blob: one }, { blob: two }],
      queriedImages: ["image 0", "image 1"],
    });
    expect((await presentOf([[other, two], [one]])).lowest).toHaveLength(1);
  });
});

test("reports no layer as present if the engine refuses the dry load, and throws other errors", async () => {
  const refusing = engineWith(2, () => {
    throw new EngineError("content digest: not found");
  });
  expect(await presentIn(refusing.engine)).toEqual([]);
  const gone = engineWith(2, () => {
    throw new Error("it is gone");
  });
  await expect(presentIn(gone.engine)).rejects.toThrow("it is gone");
});

describe("while the layers of an image arrive, the store", async () => {
  const folder = await mkdtemp(join(tmpdir(), "containerd-store-"));
  afterAll(async () => await rm(folder, { recursive: true }));

  /** A layer that is large enough to be loaded ahead is a sparse file. */
  async function layer(index: number, size = 10): Promise<LayerFile> {
    const path = join(folder, `${index}-${size}`);
    await writeFile(path, `blob ${index}`);
    await truncate(path, size);
    const blob = { mediaType: MEDIA_TYPE.dockerLayerGzip, digest: digestOf(path), size };
    return { kind: "file", diffId: diffIds[index] ?? "", path, size, blob };
  }

  const config = Buffer.from(
    JSON.stringify({ os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: diffIds } }),
  );
  const [lowest] = blobs;
  const present = [{ kind: "present" as const, diffId: diffIds[0] ?? "", ...(lowest && { blob: lowest }) }];
  const imageOf = (layers: AsyncIterable<LayerFile>, some = present): ImageToLoad<LayerFile> => {
    const common = { platform: AMD64, diffIds, config: async () => config, cancel: () => {} };
    return { ...common, lowest: some, others: [], layers };
  };
  async function* incoming(layers: LayerFile[], error?: Error): AsyncGenerator<LayerFile> {
    yield* layers;
    if (error !== undefined) throw error;
  }

  /** An engine that stores images and blobs, except the blob `lost`. It rejects an archive without an image. */
  function takingEngine({ lost = "", takesManyAtOnce = true, refusal = "no index.json" } = {}) {
    const held = new Map<Digest, number>(blobs.map(({ digest, size }) => [digest, size]));
    const images = new Map<string, Manifest>();
    const archives: string[][] = [];
    const removed: string[] = [];
    const engine = {
      takesManyAtOnce,
      async loadImage(archive: Readable, platform: Platform) {
        const paths: string[] = [];
        archives.push(paths);
        const contents = new Map<string, Buffer>();
        for await (const entry of tarEntries(archive)) {
          paths.push(entry.path);
          contents.set(entry.path, await buffer(entry.chunks()));
        }
        const read = (path: string): unknown => JSON.parse(contents.get(path)?.toString() ?? "null");
        const [found] = (read("index.json") as Index | null)?.manifests ?? [];
        if (refusal !== "" && found === undefined) throw new EngineError(refusal);
        if (found === undefined) return;
        expect(platform).toEqual(AMD64);
        for (const [path, { length }] of contents) held.set(path.replace("blobs/sha256/", "sha256:"), length);
        const name = found.annotations?.["io.containerd.image.name"] ?? "";
        images.set(name, read(found.digest.replace("sha256:", "blobs/sha256/")) as Manifest);
      },
      async listedSize(name: string) {
        const layers = images.get(name)?.layers.filter(({ digest }) => digest !== lost);
        return layers?.reduce((all, { digest }) => all + (held.get(digest) ?? 0), 500);
      },
      async removeReference(name: string) {
        removed.push(name);
        throw new Error("the next run does it");
      },
    };
    return { engine: engine as unknown as Engine, images, archives, removed };
  }

  const blobsIn = (paths: string[] | undefined, layers: LayerFile[]): number[] =>
    layers.flatMap(({ blob, diffId }) =>
      paths?.includes(blob.digest.replace("sha256:", "blobs/sha256/")) ? [diffIds.indexOf(diffId)] : [],
    );

  test("names the received blobs and the present blobs in its manifest", async () => {
    const { engine, images, archives, removed } = takingEngine();
    const layers = [await layer(1), await layer(2)];
    const store = containerdStore(engine, loading);
    const id = await store.load(imageOf(incoming(layers)), "localhost/app:1");
    expect([...images.keys()]).toEqual(["localhost/app:1"]);
    expect(id).toBe(digestOf(JSON.stringify(images.get("localhost/app:1"))));
    const { config: named, layers: found } = images.get("localhost/app:1") ?? {};
    expect(named).toMatchObject({ digest: digestOf(config), size: config.length });
    expect(found).toEqual([lowest, ...layers.map(({ blob }) => ({ ...blob, mediaType: MEDIA_TYPE.ociLayerGzip }))]);
    expect(archives.map((paths) => blobsIn(paths, layers))).toEqual([[1, 2]]);
    expect(removed).toEqual([]);
  });

  const LARGE = 32_000_000;

  test("uses a manifest to preserve if it names these blobs, and composes those of the lowest layers", async () => {
    const layers = [await layer(0, LARGE), await layer(1), await layer(2)];
    const write = (named: LayerFile[]) =>
      parseImageManifest(
        Buffer.from(
          ` ${JSON.stringify({
            mediaType: MEDIA_TYPE.dockerManifest,
            config: { mediaType: MEDIA_TYPE.dockerConfig, digest: digestOf(config), size: config.length },
            layers: named.map(({ blob }) => blob),
          })}`,
        ),
      );
    for (const [manifest, isKept] of [
      [write(layers), true],
      [write(layers.toReversed()), false],
    ] as const) {
      const { engine, images } = takingEngine();
      const store = containerdStore(engine, loading);
      const id = await store.load({ ...imageOf(incoming(layers), []), manifest }, "localhost/app:1");
      expect(id === digestOf(manifest.bytes)).toBe(isKept);
      expect(images.get("localhost/app:1")?.mediaType === MEDIA_TYPE.dockerManifest).toBe(isKept);
      expect(images.get("localhost/lowest-1:1")?.layers).toHaveLength(1);
    }
  });

  test.each([
    [true, [[0], [1, 2]], ["localhost/lowest-1:1"]],
    [false, [[0, 1, 2]], []],
  ])(
    "loads the lowest layers ahead, if the engine accepts several loads at the same time: %s",
    async (takesManyAtOnce, held, names) => {
      const { engine, images, archives, removed } = takingEngine({ takesManyAtOnce });
      const layers = [await layer(0, LARGE), await layer(1), await layer(2)];
      const arriving = queue<LayerFile>();
      const loaded = containerdStore(engine, loading).load(imageOf(arriving, []), "localhost/app:1");
      for (const one of layers.slice(0, 1)) arriving.push(one);
      while (images.size < names.length) await new Promise((resolve) => setImmediate(resolve));
      for (const one of layers.slice(1)) arriving.push(one);
      arriving.end();
      await loaded;
      expect(archives.map((paths) => blobsIn(paths, layers))).toEqual(held);
      expect([...images.keys()]).toEqual([...names, "localhost/app:1"]);
      expect(images.get("localhost/app:1")?.layers.map(({ digest }) => digest)).toEqual(
        layers.map(({ blob }) => blob.digest),
      );
      expect(removed).toEqual(names);
    },
  );

  const broken = new Error("it broke off");
  describe.each(["no index.json", ""])("for an engine that answers to an archive without an image: %j", (refusal) => {
    test("sends such an archive when the layers fail, and throws their error", async () => {
      const { engine, images, archives } = takingEngine({ refusal });
      const layers = [await layer(1)];
      const loaded = containerdStore(engine, loading).load(imageOf(incoming(layers, broken)), "app:1");
      await expect(loaded).rejects.toBe(broken);
      expect(archives.map((paths) => [paths.length, blobsIn(paths, layers)])).toEqual([[1, [1]]]);
      expect(images.size).toBe(0);
    });

    test("sends such an archive when the layers are not those of the config", async () => {
      const { engine, archives } = takingEngine({ refusal });
      const layers = [await layer(1)];
      const loaded = containerdStore(engine, loading).load(imageOf(incoming(layers)), "app:1");
      await expect(loaded).rejects.toThrow("the layers are not those of the config");
      expect(archives.flat()).toHaveLength(1);
    });
  });

  test("throws if the listed size of an image is less than its blobs, also for an image of the lowest layers", async () => {
    const layers = [await layer(0, LARGE), await layer(1, 1000), await layer(2, 1000)];
    for (const { blob } of layers.slice(0, 2)) {
      const { engine } = takingEngine({ lost: blob.digest });
      const loaded = containerdStore(engine, loading).load(imageOf(incoming(layers), []), "app:1");
      await expect(loaded).rejects.toThrow(EngineError);
    }
  });
});

describe("for layers on another base, the store", () => {
  const incoming = [digestOf("new base"), ...diffIds.slice(1)];
  const present = async (held: number, known: Descriptor[] | undefined = blobs, named?: Descriptor[]) => {
    const { engine } = engineWith(held);
    const relatedImages = await findRelatedImages(engine, incoming);
    return await blobsByDryLoad(engine, dryLoadsWith(known, relatedImages)).present(incoming, named);
  };

  test("reports a layer as present if the dry load of an image that has it succeeds", async () => {
    expect(await present(2)).toEqual({ lowest: [], others: [{ kind: "present", diffId: diffIds[1], blob: blobs[1] }] });
  });

  test("reports a layer as missing if its blob is missing, or is not the blob that the manifest to preserve names", async () => {
    expect((await present(1)).others).toEqual([]);
    expect((await present(2, blobs.slice(1))).others).toEqual([]);
    const named = ["a", "b", "c"].map((name) => ({ ...blobs[0], digest: digestOf(name) }) as Descriptor);
    expect((await present(2, blobs, named)).others).toEqual([]);
    expect((await present(2, blobs, [named[0], blobs[1], named[2]] as Descriptor[])).others).toHaveLength(1);
  });

  test("stops when all are found, and counts a layer among the lowest also where it occurs again", async () => {
    const [one, two] = diffIds as [Digest, Digest];
    const queriedImages: string[] = [];
    const { engine, loads } = engineWith(2);
    const blobsOf = async (id: string) => (queriedImages.push(id), blobs);
    const storeWith = (some: RelatedImage[]) => blobsByDryLoad(engine, { ...dryLoadsWith(undefined, some), blobsOf });
    const relatedImages = ["first", "second"].map((id) => ({ id, diffIds: [one, two], shared: 0 }));
    expect((await storeWith(relatedImages).present([digestOf("new base"), one, two])).others).toHaveLength(2);
    expect(queriedImages).toEqual(["first"]);
    expect(loads).toHaveLength(1);

    const layer = { kind: "present" as const, diffId: one, blob: blobs[0] as Descriptor };
    const nearest = { id: "third", diffIds: [one], shared: 1 };
    const found = await storeWith([nearest, ...relatedImages]).present([one, digestOf("other"), one]);
    expect(found).toEqual({ lowest: [layer], others: [layer] });
    expect(queriedImages).toEqual(["first", "third"]);
    expect(loads).toHaveLength(2);
  });
});

test("does not treat images as related because of an empty layer, which many images have", async () => {
  const empty = digestOf(Buffer.alloc(1024));
  const engine = {
    listImageIds: async () => ["app", "other"],
    inspectImage: async (id: string) => ({
      id,
      diffIds: id === "app" ? [digestOf("old"), empty, digestOf("app")] : [digestOf("x"), empty],
    }),
  };
  const incoming = [digestOf("new"), empty, digestOf("app")];
  expect((await findRelatedImages(engine as unknown as Engine, incoming)).map(({ id }) => id)).toEqual(["app"]);
});
