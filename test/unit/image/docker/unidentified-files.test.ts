import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { blobPath } from "../../../../src/image/oci/oci-layout.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import { readSavedImage } from "../../../../src/image/docker/read-saved-image.ts";
import { digestOf, hexOf, type Digest } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE, encodeManifest } from "../../../../src/image/manifest.ts";
import { attestedLayout } from "../../../engines/layouts.ts";
import {
  blobEntries,
  dockerManifest,
  gzipped,
  index,
  LAYOUT,
  makeImage,
  ociBlobs,
  plain,
  saveOci,
  type Pack,
} from "../make-image.ts";
import { forgeSize, makeTar, type TestEntry } from "../tar/make-tar.ts";
import { pseudoRandomBytes } from "../../pseudo-random.ts";
import { read, stream } from "./saved-image.ts";

const image = await makeImage([3000, 70_000, 200, 9000]);
const [bottom = "", second = "", third = "", top = ""] = image.diffIds;

/** One uncompressed frame (RFC 8878, 3.1.1): any Node can write it, not every Node can decompress it. */
const zstd: Pack = (layer) => {
  const blob: Buffer[] = [Buffer.from("28b52ffda0", "hex"), Buffer.alloc(4)];
  blob[1]?.writeUInt32LE(layer.length);
  for (let at = 0; at < layer.length; at += 100_000) {
    const piece = layer.subarray(at, at + 100_000);
    const header = Buffer.alloc(3);
    header.writeUIntLE((piece.length << 3) | (at + piece.length === layer.length ? 1 : 0), 0, 3);
    blob.push(header, piece);
  }
  return { blob: Buffer.concat(blob), mediaType: MEDIA_TYPE.ociLayerZstd };
};

const entry = (content: Buffer): TestEntry => ({ name: blobPath(digestOf(content)), content });

/** Makes a layout with its blobs in this order: layers by their numbers, `m`anifest and `c`onfig. */
function layout(order: string, pack: Pack = gzipped) {
  const { blobs, manifest, descriptors } = ociBlobs(image, pack);
  const [config = Buffer.alloc(0), bytes = Buffer.alloc(0), ...layers] = blobs;
  const entries = Array.from(order, (letter) =>
    entry({ m: bytes, c: config }[letter] ?? layers[Number(letter)] ?? expect.fail()),
  );
  return { entries: [...entries, index([manifest.descriptor]), LAYOUT], descriptors };
}

describe("compressed blobs are kept until manifest and config have passed", () => {
  test.each([
    ["gzip", gzipped],
    ["zstd", zstd],
  ])("%s, all of them: each is identified as stored", async (_, pack) => {
    for (const order of ["3102mc", "3102cm"]) {
      const { entries, descriptors } = layout(order, pack);
      const result = await read(await makeTar(entries), image, { keeps: true });
      expect(result).toMatchObject({ absent: [], unrecognised: [], discarded: [], mostWaiting: 4, config: image.config });
      expect(result.layers.size).toBe(0);
      expect(result.identified.map(({ diffId }) => diffId)).toEqual(image.diffIds);
      expect(result.identified.map(({ stored }) => stored)).toEqual(descriptors);
    }
  });

  test.each(["mc0123", "cm0123"])("none if these come first: %s", async (order) => {
    const { entries, descriptors } = layout(order);
    const result = await read(await makeTar(entries), image, { keeps: true });
    expect(result).toMatchObject({ absent: [], unrecognised: [], identified: [], discarded: [], mostWaiting: 0 });
    for (const [at, diffId] of image.diffIds.entries())
      expect(digestOf(result.layers.get(diffId) ?? "")).toBe(descriptors[at]?.digest);
  });

  test("only the blobs before; later ones are passed on, unwanted ones discarded or skipped", async () => {
    const { entries, descriptors } = layout("0m1c23");
    const foreign = entry(gzipSync("of another variant"));
    const wanted = new Set([second, top]);
    const result = await read(await makeTar([foreign, ...entries]), image, { keeps: true, wanted });
    expect(result).toMatchObject({ absent: [], unrecognised: [], mostWaiting: 3 });
    expect(result.identified).toEqual([
      { diffId: second, path: blobPath(descriptors[1]?.digest ?? ""), stored: descriptors[1] },
    ]);
    expect(result.discarded).toEqual([blobPath(descriptors[0]?.digest ?? ""), foreign.name]);
    expect([...result.layers.keys()]).toEqual([top]);
    expect(result.events).toEqual(["kept", "kept", "kept", "discarded", "identified", "discarded", "passed"]);
  });

  test("none after all wanted layers have arrived", async () => {
    const mixed: Pack = (layer) => (digestOf(layer) === third ? plain(layer) : gzipped(layer));
    const { entries } = layout("0213mc", mixed);
    const result = await read(await makeTar(entries), image, { keeps: true, wanted: new Set([third]) });
    expect(result).toMatchObject({ absent: [], unrecognised: [], identified: [], mostWaiting: 1 });
    expect(result.events).toEqual(["kept", "passed", "discarded"]);
    expect([...result.layers.keys()]).toEqual([third]);
  });

  test("in the order in which engines write them, in chunks of any size", async () => {
    for (let seed = 1; seed <= 6; seed += 1) {
      const of = await makeImage([3000 + seed, 70_000, 200 + seed]);
      const tar = await makeTar(saveOci(of, gzipped));
      const result = await read(stream(tar, seed, seed % 2 === 0 ? 600 : 40_000), of, { keeps: true });
      expect(result).toMatchObject({ absent: [], unrecognised: [], discarded: [] });
      expect(new Set([...result.layers.keys(), ...result.identified.map(({ diffId }) => diffId)])).toEqual(
        new Set(of.diffIds),
      );
    }
  });

  test("none without a KeepFile: they are unrecognised", async () => {
    const { entries } = layout("01m2c3");
    const wanted = new Set([second, top]);
    expect(await read(await makeTar(entries), image, { wanted })).toMatchObject({ absent: [], unrecognised: [second] });
  });

  test("one whose stream was left early is identified without its descriptor", async () => {
    const received: unknown[] = [];
    const result = await readSavedImage(stream(await makeTar(layout("1mc023").entries), 1, 300), {
      diffIds: image.diffIds,
      wanted: new Set([second]),
      onLayer: () => expect.fail(),
      onUnidentified: async (body) => {
        await body[Symbol.asyncIterator]().next();
        return { identified: async (...args) => void received.push(args), discard: () => expect.fail() };
      },
    });
    expect(received).toEqual([[second, undefined]]);
    expect(result).toMatchObject({ absent: [], unrecognised: [] });
  });

  test("the same layer in two blobs: one is used", async () => {
    const other: Pack = (layer) => ({ ...gzipped(layer), blob: gzipSync(layer, { level: 0 }) });
    const [mine, theirs] = [ociBlobs(image, gzipped), ociBlobs(image, other)];
    const layersOf = ({ blobs }: typeof mine): Buffer[] => blobs.slice(2);
    for (const blobs of [
      [...layersOf(mine), ...layersOf(theirs), mine.manifest.bytes, image.config, theirs.manifest.bytes],
      [mine.manifest.bytes, theirs.manifest.bytes, ...layersOf(mine), image.config, ...layersOf(theirs)],
      [image.config, mine.manifest.bytes, theirs.manifest.bytes, ...layersOf(theirs)],
      [mine.manifest.bytes, theirs.manifest.bytes, ...layersOf(theirs), image.config],
    ]) {
      const entries = [...blobs.map(entry), index([mine.manifest.descriptor]), LAYOUT];
      const { identified, layers, unrecognised } = await read(await makeTar(entries), image, { keeps: true });
      expect(unrecognised).toEqual([]);
      expect([...identified.map(({ diffId }) => diffId), ...layers.keys()].toSorted()).toEqual(image.diffIds.toSorted());
    }
  });
});

test("attestations and configs that come with an image are not kept", async () => {
  const arm = await makeImage([4000, 5000], { architecture: "arm64" });
  const entries = attestedLayout({ "linux/amd64": image, "linux/arm64": arm }, "app:v1");
  const packed = new Set([...image.layers, ...arm.layers].map((layer) => blobPath(digestOf(gzipped(layer).blob))));
  for (const of of [image, arm]) {
    const { identified, layers, discarded } = await read(await makeTar(entries), of, { keeps: true });
    for (const path of [...discarded, ...identified.map((one) => one.path)]) expect(packed).toContain(path);
    expect([...identified.map(({ diffId }) => diffId), ...layers.keys()].toSorted()).toEqual(of.diffIds.toSorted());
  }
});

describe("files of any name", () => {
  const names = image.layers.map((_, at) => `layer-${at}.tar`);
  const archive = (layers: Buffer[]): TestEntry[] => [
    ...layers.map((content, at) => ({ name: names[at] ?? "", content })),
    { name: "config.json", content: image.config },
    dockerManifest("config.json", names),
  ];

  test("uncompressed: each is identified by its digest when it has passed", async () => {
    const wanted = new Set([second, top]);
    const result = await read(await makeTar(archive(image.layers)), image, { keeps: true, wanted });
    expect(result).toMatchObject({
      absent: [],
      unrecognised: [],
      discarded: ["layer-0.tar", "layer-2.tar"],
      mostWaiting: 1,
    });
    expect(result.identified.map(({ diffId, path }) => [diffId, path])).toEqual([
      [second, "layer-1.tar"],
      [top, "layer-3.tar"],
    ]);
  });

  test("uncompressed, in another order than the manifest's", async () => {
    const swapped = await makeTar(archive(image.layers.toReversed()));
    await expect(read(swapped, image, { keeps: true })).rejects.toThrow(/layer sha256:.* has the digest sha256:/);
  });

  test("compressed: they are identified by manifest.json, at the end", async () => {
    const packed = image.layers.map((layer) => gzipped(layer).blob);
    const wanted = new Set([bottom, third]);
    const result = await read(await makeTar(archive(packed)), image, { keeps: true, wanted });
    expect(result).toMatchObject({
      absent: [],
      unrecognised: [],
      discarded: ["layer-1.tar", "layer-3.tar"],
      mostWaiting: 4,
    });
    expect(result.identified.map(({ diffId, path }) => [diffId, path])).toEqual([
      [bottom, "layer-0.tar"],
      [third, "layer-2.tar"],
    ]);
  });
});

describe("invalid archives", () => {
  const withDescriptors = (change: (at: number) => object) => {
    const { blobs, descriptors } = ociBlobs(image, gzipped);
    const [, , ...layers] = blobs;
    const manifest = encodeManifest({
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(image.config), size: image.config.length },
      layers: descriptors.map((descriptor, at) => ({ ...descriptor, ...change(at) })),
    });
    const described = [manifest.bytes, image.config];
    return (order: "kept" | "passing"): TestEntry[] => [
      ...(order === "kept" ? [...layers, ...described] : [...described, ...layers]).map(entry),
      index([manifest.descriptor]),
      LAYOUT,
    ];
  };
  const orders = ["kept", "passing"] as const;

  test.each(orders)("a blob of another digest, %s", async (order) => {
    const damaged = Buffer.from(gzipped(image.layers[1] ?? expect.fail()).blob);
    const name = entry(damaged).name;
    damaged[1000] = 255 - (damaged[1000] ?? 0);
    const { entries } = layout(order === "kept" ? "1mc023" : "mc1023");
    const tar = await makeTar(entries.map((one) => (one.name === name ? { name, content: damaged } : one)));
    const done = read(tar, image, { keeps: true });
    await expect(done).rejects.toThrow(`has the digest ${digestOf(damaged)}`);
    await expect(done).rejects.toBeInstanceOf(InvalidImage);
  });

  test.each(orders)("a blob of another size than its descriptor's, %s", async (order) => {
    const forged = withDescriptors((at) => (at === 1 ? { size: 7000 } : {}))(order);
    await expect(read(await makeTar(forged), image, { keeps: true })).rejects.toBeInstanceOf(InvalidImage);
    const unwanted = await read(await makeTar(forged), image, { keeps: true, wanted: new Set([bottom]) });
    expect(unwanted).toMatchObject({ absent: [], unrecognised: [] });
  });

  test.each(orders)("a layer whose media type is not a tar's, %s", async (order) => {
    const forged = withDescriptors((at) => (at === 2 ? { mediaType: "application/vnd.in-toto+json" } : {}))(order);
    const onLayer = async (_: Digest, body: Readable): Promise<void> => void (await buffer(body));
    const done = read(await makeTar(forged), image, { keeps: true, onLayer });
    await expect(done).rejects.toThrow("which is not a tar");
  });

  test("blobs that the manifest names but the archive lacks", async () => {
    for (const order of ["0mc2", "02mc", "mc02"]) {
      const result = await read(await makeTar(layout(order).entries), image, { keeps: true });
      expect(result).toMatchObject({ absent: [second, top], unrecognised: [] });
      const wanted = new Set([bottom]);
      const unwanted = await read(await makeTar(layout(order).entries), image, { keeps: true, wanted });
      expect(unwanted).toMatchObject({ absent: [], unrecognised: [] });
    }
  });

  test("a layer that is no tar and has no known compression", async () => {
    const odd: Pack = (layer) =>
      digestOf(layer) === second ? { ...gzipped(layer), blob: Buffer.from("odd") } : gzipped(layer);
    const result = await read(await makeTar(layout("0123mc", odd).entries), image, { keeps: true });
    expect(result).toMatchObject({ absent: [], unrecognised: [second] });
  });

  test("an archive truncated in a blob, between blobs, or before its index", async () => {
    const tar = await makeTar(layout("0123mc").entries);
    for (const end of [1000, 512 + 4096, tar.length - 6000]) {
      const done = read(tar.subarray(0, end), image, { keeps: true }).catch((error: unknown) => error);
      expect(await done).toBeInstanceOf(InvalidImage);
    }
  });

  test("a blob with a forged size of 8 GB", async () => {
    const tar = forgeSize(await makeTar(layout("0123mc").entries), 0, 8_000_000_000);
    await expect(read(tar, image, { keeps: true })).rejects.toThrow("not a tar archive, or a damaged one");
  });

  test("thousands of unidentified blobs: no more are kept than an image may have layers", async () => {
    const many = (count: number): TestEntry[] =>
      Array.from({ length: count }, (_, at) => entry(Buffer.concat([gzipSync("x"), pseudoRandomBytes(20, at)])));
    const { entries } = layout("0123mc");
    const most = await read(await makeTar([...many(996), ...entries]), image, { keeps: true });
    expect(most).toMatchObject({ unrecognised: [], mostWaiting: 1000 });
    expect(most.discarded).toHaveLength(996);
    await expect(read(await makeTar([...many(997), ...entries]), image, { keeps: true })).rejects.toThrow(
      "the archive has more than 1000 files before it names its layers",
    );
    const behind = await read(await makeTar([...entries, ...many(3000)]), image, { keeps: true });
    expect(behind).toMatchObject({ unrecognised: [], mostWaiting: 4, discarded: [] });
  });

  test("thousands of manifests", async () => {
    const { entries } = layout("0123");
    const { descriptors } = ociBlobs(image, gzipped);
    const manifests = Array.from({ length: 3000 }, (_, at) =>
      entry(
        Buffer.from(
          JSON.stringify({
            schemaVersion: 2,
            at,
            config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(image.config), size: image.config.length },
            layers: descriptors,
          }),
        ),
      ),
    );
    const tar = await makeTar([...manifests, ...entries, entry(image.config)]);
    // The index names a manifest that is absent: the manifests among the blobs do not replace it.
    await expect(read(tar, image, { keeps: true })).rejects.toThrow("no image with the layers");
  });

  test("a KeepFile fails: its error is passed on, and the archive is destroyed", async () => {
    const source = stream(await makeTar(layout("0123mc").entries));
    const full = new Error("no space left on device");
    const options = { diffIds: image.diffIds, wanted: new Set<Digest>(image.diffIds), onLayer: async () => {} };
    await expect(
      readSavedImage(source, { ...options, onUnidentified: async () => await Promise.reject(full) }),
    ).rejects.toBe(full);
    expect(source.destroyed).toBe(true);
    await expect(
      readSavedImage(stream(await makeTar(layout("0123mc").entries)), {
        ...options,
        async onUnidentified(body) {
          await buffer(body);
          return { identified: async () => await Promise.reject(full), discard: async () => {} };
        },
      }),
    ).rejects.toBe(full);
  });
});

test("while a blob is kept, the archive waits", async () => {
  const large = await makeImage([4_000_000]);
  const tar = await makeTar(saveOci(large, gzipped));
  let given = 0;
  let taken = 0;
  let ahead = 0;
  const source = Readable.from(
    (function* () {
      for (let at = 0; at < tar.length; at += 8192) {
        given += 8192;
        yield tar.subarray(at, at + 8192);
      }
    })(),
    { objectMode: false },
  );
  const count = async (body: Readable): Promise<void> => {
    for await (const chunk of body) {
      taken += (chunk as Buffer).length;
      ahead = Math.max(ahead, given - taken);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await readSavedImage(source, {
    diffIds: large.diffIds,
    wanted: new Set(large.diffIds),
    onLayer: async (_, body) => await count(body),
    onUnidentified: async (body) => (await count(body), { identified: async () => {}, discard: async () => {} }),
  });
  expect(taken).toBeGreaterThan(3_900_000);
  expect(ahead).toBeLessThan(200_000);
});

test("an uncompressed blob is identified by its name: others are not kept, and no manifest makes it another layer", async () => {
  const { blobs, descriptors } = ociBlobs(image, plain);
  const [config = expect.fail(), , ...layers] = blobs;
  const foreign = await makeTar([{ name: "of another variant", content: "x" }]);
  const manifest = encodeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
    layers: descriptors.toReversed(),
  });
  const entries = [foreign, config, manifest.bytes, ...layers].map(entry);
  const tar = await makeTar([...entries, index([manifest.descriptor]), LAYOUT]);
  const result = await read(tar, image, { keeps: true });
  expect(result.events).toEqual(image.diffIds.map(() => "passed"));
  for (const [at, diffId] of image.diffIds.entries())
    expect(result.layers.get(diffId)?.equals(image.layers[at] ?? foreign)).toBe(true);
});

test("a file in another folder is no blob, even if it is named by a digest", async () => {
  const { entries } = layout("mc");
  const moved = image.layers.map((layer): TestEntry => {
    const { blob } = gzipped(layer);
    return { name: `elsewhere/${hexOf(digestOf(blob))}`, content: blob };
  });
  const result = await read(await makeTar([...entries, ...moved]), image, { keeps: true });
  expect(result).toMatchObject({ absent: image.diffIds, unrecognised: [], identified: [] });
});

test("blobs in the order of their names are all identified", async () => {
  const { blobs, manifest } = ociBlobs(image, gzipped);
  const tar = await makeTar([...blobEntries(blobs), index([manifest.descriptor]), LAYOUT]);
  expect(await read(tar, image, { keeps: true })).toMatchObject({ absent: [], unrecognised: [] });
});
