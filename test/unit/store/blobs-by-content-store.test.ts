import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { openEngine } from "../../../src/engine/open/open-engine.ts";
import type { ImageInfo } from "../../../src/engine/engine-images.ts";
import { digestOf, type Digest } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, type Descriptor, type Manifest } from "../../../src/image/manifest.ts";
import { blobsByContentStore } from "../../../src/store/blobs-by-content-store.ts";
import type { ContainerdBlobs } from "../../../src/store/containerd-blobs.ts";
import {
  contentEngine,
  NAMED,
  UNCOMPRESSED,
  type ContentEngine,
  type ContentEngineOptions,
  type FakeBlob,
} from "../engine/fake-content-engine.ts";
import { rejection } from "../engine/fake-engine.ts";
import { InvalidImage } from "../../../src/image/invalid-image.ts";
import type { Detail } from "../../../src/output/details.ts";
import { detailText } from "../../../src/output/detail-texts.ts";
import { AMD64 } from "../image/platforms.ts";

interface TestStore extends AsyncDisposable {
  blobs: ContainerdBlobs;
  details: string[];
  /** The IDs of the inspected images. */
  inspected: string[];
  fake: ContentEngine;
}

/** The content store of an engine with these blobs and images. */
async function storeWith(
  blobs: readonly FakeBlob[],
  options: ContentEngineOptions & {
    images?: readonly ImageInfo[];
    manifests?: ReadonlyMap<string, Manifest>;
    signal?: AbortSignal;
  } = {},
): Promise<TestStore> {
  const { images = [], manifests = new Map(), signal = new AbortController().signal } = options;
  const fake = await contentEngine({ blobs, ...options });
  const engine = await openEngine(fake.endpoint);
  const content = await engine.contentStore();
  if (content === undefined) throw new Error("there is no content store");
  const inspected: string[] = [];
  const inspectImage = async (reference: string) => {
    inspected.push(reference);
    return images.find(({ id }) => id === reference);
  };
  const relatedImages = async () => images.map(({ id, diffIds: own }) => ({ id, diffIds: own, shared: 0 }));
  const manifestOf = async (id: string) => manifests.get(id);
  const details: string[] = [];
  const onDetail = (detail: Detail): void => void details.push(detailText(detail));
  return {
    blobs: blobsByContentStore({ inspectImage }, content, { relatedImages, manifestOf, signal, onDetail }),
    details,
    inspected,
    fake,
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      await fake[Symbol.asyncDispose]();
    },
  };
}

/** The blob of a layer. */
function layer(bytes: Buffer, diffId: Digest): FakeBlob & { digest: Digest } {
  return { bytes, digest: digestOf(bytes), labels: { [UNCOMPRESSED]: diffId } };
}
const described = ({ bytes, digest = digestOf(bytes) }: FakeBlob, mediaType: string): Descriptor => ({
  mediaType,
  digest,
  size: bytes.length,
});

const tars = ["one", "two", "three", "four"].map((text) => Buffer.from(`a tar of ${text}`));
const diffIds = tars.map(digestOf);
const [one = "", two = "", three = "", four = ""] = diffIds;
const gzipped = layer(gzipSync(tars[0] ?? ""), one);
const zstd = layer(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]), two);
const plain = layer(tars[2] ?? Buffer.alloc(0), three);
const odd = layer(gzipSync(tars[3] ?? ""), four);
const presentLayer = (diffId: Digest, blob: Descriptor) => ({ kind: "present", diffId, blob });
const all = [
  presentLayer(one, described(gzipped, MEDIA_TYPE.ociLayerGzip)),
  presentLayer(two, described(zstd, MEDIA_TYPE.ociLayerZstd)),
  presentLayer(three, described(plain, MEDIA_TYPE.ociLayer)),
  presentLayer(four, described(odd, MEDIA_TYPE.ociLayerGzip)),
];

describe("the layers of an image are present", () => {
  test("as blobs of any compression, after one request and reads of their first bytes", async () => {
    await using store = await storeWith([odd, plain, zstd, gzipped, layer(Buffer.from("x"), digestOf("another"))]);
    expect(await store.blobs.present(diffIds)).toEqual({ lowest: all, others: [] });
    expect(store.fake.lists.slice(1)).toEqual([diffIds.map((diffId) => `labels."${UNCOMPRESSED}"=="${diffId}"`)]);
    expect(store.fake.reads.map(({ offset, size }) => `${offset}+${size}`)).toEqual(Array(4).fill("0+6"));
  });

  test("up to the maximum of an image, all read at the same time, without a leak warning of Node", async () => {
    const many = Array.from({ length: 131 }, (_, index) =>
      layer(Buffer.from(`blob ${index}`), digestOf(`tar ${index}`)),
    );
    await using store = await storeWith(many);
    const { lowest: found } = await store.blobs.present(many.map((_, index) => digestOf(`tar ${index}`)));
    expect(found).toHaveLength(131);
  });

  test("as the lowest layers without a gap, and as others", async () => {
    await using store = await storeWith([gzipped, plain, odd]);
    expect(await store.blobs.present(diffIds)).toEqual({ lowest: all.slice(0, 1), others: all.slice(2) });
    expect(await store.blobs.present(diffIds.toReversed())).toEqual({ lowest: [all[3], all[2]], others: [all[0]] });
    expect(await store.blobs.present([two])).toEqual({ lowest: [], others: [] });
    expect(await store.blobs.present([])).toEqual({ lowest: [], others: [] });
  });

  test("at both positions, if a layer occurs twice", async () => {
    await using store = await storeWith([gzipped, plain]);
    expect(await store.blobs.present([one, three, one, two, one, three])).toEqual({
      lowest: [all[0], all[2], all[0]],
      others: [all[0], all[2]],
    });
  });

  test("only as the blobs of a manifest to preserve", async () => {
    const other = layer(gzipSync("a tar of one, compressed otherwise"), one);
    await using store = await storeWith([other, gzipped, plain]);
    const [first, second, third] = all.map(({ blob }) => blob) as [Descriptor, Descriptor, Descriptor];
    const present = async (...named: Descriptor[]) => await store.blobs.present([one, two, three], named);
    expect(await present(first, second, third)).toEqual({ lowest: all.slice(0, 1), others: [all[2]] });
    expect(await present({ ...first, digest: digestOf("compressed elsewhere") }, second, third)).toEqual({
      lowest: [],
      others: [all[2]],
    });
    expect(await present(described(other, MEDIA_TYPE.ociLayerGzip), second, third)).toMatchObject({
      lowest: [{ diffId: one, blob: { digest: other.digest } }],
    });
  });
});

describe("a blob of a manifest to preserve that has no label with a diff ID", () => {
  // It was loaded while its layer was present as another blob.
  const other = { bytes: gzipSync("a tar of one, compressed otherwise") };
  const named = described(other, MEDIA_TYPE.ociLayerGzip);
  const image: ImageInfo = { id: "related", diffIds: [two, one], platform: AMD64, size: 1 };
  const presentWith = async (...layers: (Descriptor | undefined)[]) => {
    const known = layers.filter((blob) => blob !== undefined);
    const manifests = new Map([["related", { mediaType: MEDIA_TYPE.ociManifest, config: named, layers: known }]]);
    await using store = await storeWith([gzipped, other], { images: [image], manifests });
    return await store.blobs.present([one], [named]);
  };

  test("counts if an image has it for that layer", async () => {
    expect(await presentWith(all[1]?.blob, named)).toEqual({ lowest: [presentLayer(one, named)], others: [] });
  });

  test("does not count on the evidence of the sender's manifest alone", async () => {
    const nothing = { lowest: [], others: [] };
    expect(await presentWith(named, all[1]?.blob)).toEqual(nothing);
    expect(await presentWith(named)).toEqual(nothing);
    expect(await presentWith()).toEqual(nothing);
  });
});

describe("a layer is missing", () => {
  test.each([
    ["compressed", gzipped],
    ["plain", plain],
  ])("when its blob, %s, is listed but unreadable", async (_, gone) => {
    await using store = await storeWith([gone]);
    store.fake.blobs.clear();
    const diffId = gone.labels?.[UNCOMPRESSED] ?? "";
    expect(await store.blobs.present([diffId])).toEqual({ lowest: [], others: [] });
    expect(store.details).toEqual([
      `the engine does not return the blob ${gone.digest}: the engine does not have the blob ${gone.digest}`,
    ]);
  });

  test.each([0n, -1n, -(2n ** 63n), 2n ** 53n, 2n ** 63n - 1n])(
    "when its blob is listed with %i bytes",
    async (size) => {
      await using store = await storeWith([{ ...gzipped, size }]);
      expect(await store.blobs.present([one])).toEqual({ lowest: [], others: [] });
      expect(await store.blobs.layerOf({ id: "app", diffIds: [one] }, 0)).toBeUndefined();
      expect(store.fake.reads).toEqual([]);
    },
  );

  test("when its blob has fewer bytes than the first read", async () => {
    await using store = await storeWith([{ ...layer(Buffer.from("tar"), one), size: 500n }]);
    expect(await store.blobs.present([one])).toEqual({ lowest: [], others: [] });
    expect(store.details).toEqual([expect.stringContaining("ends after 3 of its 500 bytes")]);
  });

  test("when the engine lists other blobs than the requested ones", async () => {
    await using store = await storeWith([], {
      list: async function* () {
        yield { info: [{ digest: gzipped.digest, size: 40n, labels: { [UNCOMPRESSED]: two } }] };
      },
    });
    expect(await store.blobs.present([one])).toEqual({ lowest: [], others: [] });
    expect(await store.blobs.layerOf({ id: "app", diffIds: [one] }, 0)).toBeUndefined();
  });

  test.each<[string, string, NonNullable<ContentEngineOptions["list"]>]>([
    [
      "lists an endless number of blobs",
      "more than 10000 blobs",
      async function* ({ filters }) {
        const info = Array.from({ length: 50 }, () => ({ digest: one, size: 1n, labels: {} }));
        while (filters.some((filter) => filter.includes(one))) yield { info };
      },
    ],
    [
      "aborts the list",
      "the list of its blobs",
      async function* ({ filters }) {
        yield {};
        if (filters.some((filter) => filter.includes(one))) throw new Error("the disk is gone");
      },
    ],
  ])("when the engine %s; the reason is reported, and the transfer continues", async (_, why, list) => {
    await using store = await storeWith([gzipped], { list });
    expect(await store.blobs.present(diffIds)).toEqual({ lowest: [], others: [] });
    expect(await store.blobs.known(one, diffIds)).toEqual({});
    expect(await store.blobs.layerOf({ id: "app", diffIds }, 0)).toBeUndefined();
    const actions = ["list the blobs of the layers", "report whether it has the image", `list the blob of ${one}`];
    expect(store.details).toEqual(actions.map((action) => expect.stringMatching(`does not ${action}: .*${why}`)));
  });

  test("except after an aborted query, which throws the reason of the signal", async () => {
    const stop = new AbortController();
    await using store = await storeWith([gzipped], {
      signal: stop.signal,
      read: async function* () {
        stop.abort(new Error("Ctrl-C"));
        await new Promise(() => {});
        yield {};
      },
    });
    expect((await rejection(store.blobs.present(diffIds))).message).toBe("Ctrl-C");
    expect((await rejection(store.blobs.known(one, diffIds))).message).toBe("Ctrl-C");
    expect(store.details).toEqual([]);
  });
});

describe("an image is known", () => {
  const config = { bytes: Buffer.from(JSON.stringify({ rootfs: { diff_ids: diffIds } })) };
  const digest = digestOf(config.bytes);
  const manifest = (text: string, name = `${NAMED}.config`): FakeBlob & { digest: Digest } => ({
    bytes: Buffer.from(text),
    digest: digestOf(text),
    labels: { [name]: digest, [`${NAMED}.l.0`]: one },
  });
  const info = (id: string, layers = diffIds): ImageInfo => ({ id, diffIds: layers, platform: AMD64, size: 1 });

  test.each(["config", "0"])("by the manifest that names its config (%s), if it has its layers", async (name) => {
    const own = manifest("manifest", `${NAMED}.${name}`);
    await using store = await storeWith([config, own], { images: [info(own.digest)] });
    expect(await store.blobs.known(digest, diffIds)).toEqual({ id: own.digest });
    expect(store.fake.reads).toEqual([]);
  });

  test("by its manifest, if that is an image", async () => {
    const [untagged, other, own] = [manifest("untagged"), manifest("other"), manifest("own")];
    const images = [info(other.digest, diffIds.slice(1)), info(own.digest)];
    await using store = await storeWith([untagged, other, own], { images });
    expect(await store.blobs.known(digest, diffIds)).toEqual({ id: own.digest });
  });

  test("only by its config, if no such image exists, or if it has other layers", async () => {
    const own = manifest("manifest");
    for (const images of [[], [info(own.digest, diffIds.toReversed())], [{ ...info(own.digest), id: "another" }]]) {
      await using store = await storeWith([config, own], { images });
      expect(await store.blobs.known(digest, diffIds)).toEqual({ config: config.bytes });
      expect(store.inspected).toEqual([own.digest]);
    }
  });

  test("not at all, if its config is missing, different, or listed but unreadable", async () => {
    await using without = await storeWith([manifest("manifest")]);
    expect(await without.blobs.known(digest, diffIds)).toEqual({});
    expect(without.fake.reads).toEqual([]);
    await using wrong = await storeWith([{ bytes: Buffer.from("{}"), digest }]);
    expect(await wrong.blobs.known(digest, diffIds)).toEqual({});
    await using gone = await storeWith([config]);
    gone.fake.blobs.clear();
    expect(await gone.blobs.known(digest, diffIds)).toEqual({});
  });
});

describe("a layer", () => {
  const tarOf = async (store: TestStore, index: number): Promise<string | undefined> => {
    const tar = await store.blobs.layerOf({ id: "app", diffIds }, index);
    return tar && (await buffer(tar)).toString();
  };

  test("is read as a plain tar, however it is stored", async () => {
    await using store = await storeWith([plain, gzipped]);
    expect([await tarOf(store, 0), await tarOf(store, 2)]).toEqual(["a tar of one", "a tar of three"]);
  });

  test("is undefined if its blob is missing, or the image has no such layer", async () => {
    await using store = await storeWith([gzipped]);
    expect([await tarOf(store, 1), await tarOf(store, 4)]).toEqual([undefined, undefined]);
  });

  test("is an error if it cannot be decompressed", async () => {
    const broken = layer(Buffer.concat([gzipped.bytes.subarray(0, 20), Buffer.alloc(20)]), one);
    await using store = await storeWith([broken]);
    expect(await rejection(tarOf(store, 0))).toBeInstanceOf(InvalidImage);
  });
});
