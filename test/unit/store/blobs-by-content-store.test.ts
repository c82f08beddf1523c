import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { openEngine } from "../../../src/engine/docker.ts";
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

interface Asking extends AsyncDisposable {
  blobs: ContainerdBlobs;
  details: string[];
  /** The images that were looked at. */
  inspected: string[];
  fake: ContentEngine;
}

/** A store that is asked, of an engine with such blobs and images. */
async function asking(
  blobs: readonly FakeBlob[],
  options: ContentEngineOptions & {
    images?: readonly ImageInfo[];
    manifests?: ReadonlyMap<string, Manifest>;
    signal?: AbortSignal;
  } = {},
): Promise<Asking> {
  const { images = [], manifests = new Map(), signal = new AbortController().signal } = options;
  const fake = await contentEngine({ blobs, ...options });
  const engine = await openEngine(fake.endpoint);
  const content = await engine.contentStore();
  if (content === undefined) throw new Error("it has none");
  const inspected: string[] = [];
  const inspectImage = async (reference: string) => {
    inspected.push(reference);
    return images.find(({ id }) => id === reference);
  };
  const relatedImages = async () => images.map(({ id, diffIds: own }) => ({ id, diffIds: own, shared: 0 }));
  const manifestOf = async (id: string) => manifests.get(id);
  const details: string[] = [];
  const onDetail = (text: string): void => void details.push(text);
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

/** A layer's blob, by what it holds. */
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
const here = (diffId: Digest, blob: Descriptor) => ({ kind: "here", diffId, blob });
const all = [
  here(one, described(gzipped, MEDIA_TYPE.ociLayerGzip)),
  here(two, described(zstd, MEDIA_TYPE.ociLayerZstd)),
  here(three, described(plain, MEDIA_TYPE.ociLayer)),
  here(four, described(odd, MEDIA_TYPE.ociLayerGzip)),
];

describe("the layers of an image are there", () => {
  test("as the blobs that hold them, whatever they are packed with; with one question and their first bytes", async () => {
    await using asked = await asking([odd, plain, zstd, gzipped, layer(Buffer.from("x"), digestOf("another"))]);
    expect(await asked.blobs.present(diffIds)).toEqual({ here: all, stored: [] });
    expect(asked.fake.lists.slice(1)).toEqual([diffIds.map((diffId) => `labels."${UNCOMPRESSED}"=="${diffId}"`)]);
    expect(asked.fake.reads.map(({ offset, size }) => `${offset}+${size}`)).toEqual(Array(4).fill("0+6"));
  });

  test("as many as an image can have, all read at once, and Node warns of no leak", async () => {
    const many = Array.from({ length: 131 }, (_, index) =>
      layer(Buffer.from(`blob ${index}`), digestOf(`tar ${index}`)),
    );
    await using asked = await asking(many);
    const { here: found } = await asked.blobs.present(many.map((_, index) => digestOf(`tar ${index}`)));
    expect(found).toHaveLength(131);
  });

  test("the lowest without a gap, and others that are stored", async () => {
    await using asked = await asking([gzipped, plain, odd]);
    expect(await asked.blobs.present(diffIds)).toEqual({ here: all.slice(0, 1), stored: all.slice(2) });
    expect(await asked.blobs.present(diffIds.toReversed())).toEqual({ here: [all[3], all[2]], stored: [all[0]] });
    expect(await asked.blobs.present([two])).toEqual({ here: [], stored: [] });
    expect(await asked.blobs.present([])).toEqual({ here: [], stored: [] });
  });

  test("each of them, where the image has one twice", async () => {
    await using asked = await asking([gzipped, plain]);
    expect(await asked.blobs.present([one, three, one, two, one, three])).toEqual({
      here: [all[0], all[2], all[0]],
      stored: [all[0], all[2]],
    });
  });

  test("only as the blobs that a manifest names, where that is to be kept", async () => {
    const other = layer(gzipSync("a tar of one, packed otherwise"), one);
    await using asked = await asking([other, gzipped, plain]);
    const [first, second, third] = all.map(({ blob }) => blob) as [Descriptor, Descriptor, Descriptor];
    const present = async (...named: Descriptor[]) => await asked.blobs.present([one, two, three], named);
    expect(await present(first, second, third)).toEqual({ here: all.slice(0, 1), stored: [all[2]] });
    expect(await present({ ...first, digest: digestOf("packed elsewhere") }, second, third)).toEqual({
      here: [],
      stored: [all[2]],
    });
    expect(await present(described(other, MEDIA_TYPE.ociLayerGzip), second, third)).toMatchObject({
      here: [{ diffId: one, blob: { digest: other.digest } }],
    });
  });
});

describe("of a blob that a manifest names, and of which the store does not say what it holds", () => {
  // It came while its layer was there in other bytes.
  const other = { bytes: gzipSync("a tar of one, packed otherwise") };
  const named = described(other, MEDIA_TYPE.ociLayerGzip);
  const image: ImageInfo = { id: "here", diffIds: [two, one], platform: "linux/amd64", size: 1 };
  const presentWith = async (...layers: (Descriptor | undefined)[]) => {
    const known = layers.filter((blob) => blob !== undefined);
    const manifests = new Map([["here", { mediaType: MEDIA_TYPE.ociManifest, config: named, layers: known }]]);
    await using asked = await asking([gzipped, other], { images: [image], manifests });
    return await asked.blobs.present([one], [named]);
  };

  test("an image here tells, which has it for that layer", async () => {
    expect(await presentWith(all[1]?.blob, named)).toEqual({ here: [here(one, named)], stored: [] });
  });

  test("the sender's word does not", async () => {
    const nothing = { here: [], stored: [] };
    expect(await presentWith(named, all[1]?.blob)).toEqual(nothing);
    expect(await presentWith(named)).toEqual(nothing);
    expect(await presentWith()).toEqual(nothing);
  });
});

describe("a layer is not there", () => {
  test.each([
    ["packed", gzipped],
    ["plain", plain],
  ])("when its blob, %s, is listed and cannot be read", async (_, gone) => {
    await using asked = await asking([gone]);
    asked.fake.blobs.clear();
    const diffId = gone.labels?.[UNCOMPRESSED] ?? "";
    expect(await asked.blobs.present([diffId])).toEqual({ here: [], stored: [] });
    expect(asked.details).toEqual([
      `the engine does not tell the blob ${gone.digest}: the engine does not have the blob ${gone.digest}`,
    ]);
  });

  test.each([0n, -1n, -(2n ** 63n), 2n ** 53n, 2n ** 63n - 1n])(
    "when its blob is listed with %i bytes",
    async (size) => {
      await using asked = await asking([{ ...gzipped, size }]);
      expect(await asked.blobs.present([one])).toEqual({ here: [], stored: [] });
      expect(await asked.blobs.layerOf({ id: "app", diffIds: [one] }, 0)).toBeUndefined();
      expect(asked.fake.reads).toEqual([]);
    },
  );

  test("when its blob has fewer bytes than its first", async () => {
    await using asked = await asking([{ ...layer(Buffer.from("tar"), one), size: 500n }]);
    expect(await asked.blobs.present([one])).toEqual({ here: [], stored: [] });
    expect(asked.details).toEqual([expect.stringContaining("ends after 3 of its 500 bytes")]);
  });

  test("when the engine lists what it was not asked for", async () => {
    await using asked = await asking([], {
      list: async function* () {
        yield { info: [{ digest: gzipped.digest, size: 40n, labels: { [UNCOMPRESSED]: two } }] };
      },
    });
    expect(await asked.blobs.present([one])).toEqual({ here: [], stored: [] });
    expect(await asked.blobs.layerOf({ id: "app", diffIds: [one] }, 0)).toBeUndefined();
  });

  test.each<[string, string, NonNullable<ContentEngineOptions["list"]>]>([
    [
      "lists blobs without end",
      "more than 10000 blobs",
      async function* ({ filters }) {
        const info = Array.from({ length: 50 }, () => ({ digest: one, size: 1n, labels: {} }));
        while (filters.some((filter) => filter.includes(one))) yield { info };
      },
    ],
    [
      "breaks off",
      "the list of its blobs",
      async function* ({ filters }) {
        yield {};
        if (filters.some((filter) => filter.includes(one))) throw new Error("the disk is gone");
      },
    ],
  ])("when the engine %s; it is said why, and the transfer goes on", async (_, why, list) => {
    await using asked = await asking([gzipped], { list });
    expect(await asked.blobs.present(diffIds)).toEqual({ here: [], stored: [] });
    expect(await asked.blobs.known(one, diffIds)).toEqual({});
    expect(await asked.blobs.layerOf({ id: "app", diffIds }, 0)).toBeUndefined();
    const whats = ["which layers it holds", "whether it has the image", `which blob holds ${one}`];
    expect(asked.details).toEqual(whats.map((what) => expect.stringMatching(`does not tell ${what}: .*${why}`)));
  });

  test("but who is told to stop is not told that", async () => {
    const stop = new AbortController();
    await using asked = await asking([gzipped], {
      signal: stop.signal,
      read: async function* () {
        stop.abort(new Error("Ctrl-C"));
        await new Promise(() => {});
        yield {};
      },
    });
    expect((await rejection(asked.blobs.present(diffIds))).message).toBe("Ctrl-C");
    expect((await rejection(asked.blobs.known(one, diffIds))).message).toBe("Ctrl-C");
    expect(asked.details).toEqual([]);
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
  const info = (id: string, layers = diffIds): ImageInfo => ({ id, diffIds: layers, platform: "linux/amd64", size: 1 });

  test.each(["config", "0"])("by the manifest that names its config (%s), where it has its layers", async (name) => {
    const own = manifest("manifest", `${NAMED}.${name}`);
    await using asked = await asking([config, own], { images: [info(own.digest)] });
    expect(await asked.blobs.known(digest, diffIds)).toEqual({ id: own.digest });
    expect(asked.fake.reads).toEqual([]);
  });

  test("by whichever manifest is an image", async () => {
    const [untagged, other, own] = [manifest("untagged"), manifest("other"), manifest("own")];
    const images = [info(other.digest, diffIds.slice(1)), info(own.digest)];
    await using asked = await asking([untagged, other, own], { images });
    expect(await asked.blobs.known(digest, diffIds)).toEqual({ id: own.digest });
  });

  test("by its config alone, where there is no such image, or one of other layers", async () => {
    const own = manifest("manifest");
    for (const images of [[], [info(own.digest, diffIds.toReversed())], [{ ...info(own.digest), id: "another" }]]) {
      await using asked = await asking([config, own], { images });
      expect(await asked.blobs.known(digest, diffIds)).toEqual({ config: config.bytes });
      expect(asked.inspected).toEqual([own.digest]);
    }
  });

  test("not at all, where its config is not there, is another, or is listed and gone", async () => {
    await using without = await asking([manifest("manifest")]);
    expect(await without.blobs.known(digest, diffIds)).toEqual({});
    expect(without.fake.reads).toEqual([]);
    await using wrong = await asking([{ bytes: Buffer.from("{}"), digest }]);
    expect(await wrong.blobs.known(digest, diffIds)).toEqual({});
    await using gone = await asking([config]);
    gone.fake.blobs.clear();
    expect(await gone.blobs.known(digest, diffIds)).toEqual({});
  });
});

describe("of a layer", () => {
  const tarOf = async (asked: Asking, index: number): Promise<string | undefined> => {
    const tar = await asked.blobs.layerOf({ id: "app", diffIds }, index);
    return tar && (await buffer(tar)).toString();
  };

  test("the plain tar is read, however it is stored", async () => {
    await using asked = await asking([plain, gzipped]);
    expect([await tarOf(asked, 0), await tarOf(asked, 2)]).toEqual(["a tar of one", "a tar of three"]);
  });

  test("there is none when its blob is not there, nor of one that the image has not", async () => {
    await using asked = await asking([gzipped]);
    expect([await tarOf(asked, 1), await tarOf(asked, 4)]).toEqual([undefined, undefined]);
  });

  test("what cannot be unpacked is an error", async () => {
    const broken = layer(Buffer.concat([gzipped.bytes.subarray(0, 20), Buffer.alloc(20)]), one);
    await using asked = await asking([broken]);
    expect(await rejection(tarOf(asked, 0))).toBeInstanceOf(InvalidImage);
  });
});
