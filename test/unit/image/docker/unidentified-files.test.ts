import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { blobPath } from "../../../../src/image/oci/oci-layout.ts";
import { readSavedImage } from "../../../../src/image/docker/read-saved-image.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../../src/image/manifest.ts";
import { attestedLayout } from "../../../engines/layouts.ts";
import { blobEntries, gzipped, index, LAYOUT, makeImage, ociBlobs, plain, saveOci, type Pack } from "../make-image.ts";
import { makeTar } from "../tar/make-tar.ts";
import { read, stream } from "./saved-image.ts";
import { entry, image, layout } from "./layout-order.ts";

const [, second = "", third = "", top = ""] = image.diffIds;

/** One uncompressed frame (RFC 8878, 3.1.1). Any Node can write it, but not every Node can decompress it. */
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

describe("stores compressed blobs until the manifest and the config have passed", () => {
  test.each([
    ["gzip", gzipped],
    ["zstd", zstd],
  ])("%s, all of them: identifies each in its stored form", async (_, pack) => {
    for (const order of ["3102mc", "3102cm"]) {
      const { entries, descriptors } = layout(order, pack);
      const result = await read(await makeTar(entries), image, { keeps: true });
      expect(result).toMatchObject({
        absent: [],
        unrecognised: [],
        discarded: [],
        mostWaiting: 4,
        config: image.config,
      });
      expect(result.layers.size).toBe(0);
      expect(result.identified.map(({ diffId }) => diffId)).toEqual(image.diffIds);
      expect(result.identified.map(({ stored }) => stored)).toEqual(descriptors);
    }
  });

  test.each(["mc0123", "cm0123"])("none if these are first: %s", async (order) => {
    const { entries, descriptors } = layout(order);
    const result = await read(await makeTar(entries), image, { keeps: true });
    expect(result).toMatchObject({ absent: [], unrecognised: [], identified: [], discarded: [], mostWaiting: 0 });
    for (const [at, diffId] of image.diffIds.entries())
      expect(digestOf(result.layers.get(diffId) ?? "")).toBe(descriptors[at]?.digest);
  });

  test("only the blobs before them; passes later blobs on, and discards or skips unwanted ones", async () => {
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

  test("none without a CopyFile, which leaves them unrecognised", async () => {
    const { entries } = layout("01m2c3");
    const wanted = new Set([second, top]);
    expect(await read(await makeTar(entries), image, { wanted })).toMatchObject({ absent: [], unrecognised: [second] });
  });

  test("(a blob whose stream was left early is identified without its descriptor)", async () => {
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

  test("the same layer in two blobs: uses one of them", async () => {
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
      expect([...identified.map(({ diffId }) => diffId), ...layers.keys()].toSorted()).toEqual(
        image.diffIds.toSorted(),
      );
    }
  });
});

test("but not the attestations and configs of an image", async () => {
  const arm = await makeImage([4000, 5000], { architecture: "arm64" });
  const entries = attestedLayout({ "linux/amd64": image, "linux/arm64": arm }, "app:v1");
  const packed = new Set([...image.layers, ...arm.layers].map((layer) => blobPath(digestOf(gzipped(layer).blob))));
  for (const of of [image, arm]) {
    const { identified, layers, discarded } = await read(await makeTar(entries), of, { keeps: true });
    for (const path of [...discarded, ...identified.map((one) => one.path)]) expect(packed).toContain(path);
    expect([...identified.map(({ diffId }) => diffId), ...layers.keys()].toSorted()).toEqual(of.diffIds.toSorted());
  }
});

test("and the archive waits while a blob is stored", async () => {
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

test("and identifies all blobs if they are in the order of their names", async () => {
  const { blobs, manifest } = ociBlobs(image, gzipped);
  const tar = await makeTar([...blobEntries(blobs), index([manifest.descriptor]), LAYOUT]);
  expect(await read(tar, image, { keeps: true })).toMatchObject({ absent: [], unrecognised: [] });
});
