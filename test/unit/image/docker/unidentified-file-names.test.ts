import { describe, expect, test } from "vitest";
import { digestOf, hexOf } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE, encodeManifest } from "../../../../src/image/manifest.ts";
import { dockerManifest, gzipped, index, LAYOUT, ociBlobs, plain } from "../make-image.ts";
import { makeTar, type TestEntry } from "../tar/make-tar.ts";
import { read } from "./saved-image.ts";
import { entry, image, layout } from "./layout-order.ts";

const [bottom = "", second = "", third = "", top = ""] = image.diffIds;

describe("files of any name", () => {
  const names = image.layers.map((_, at) => `layer-${at}.tar`);
  const archive = (layers: Buffer[]): TestEntry[] => [
    ...layers.map((content, at) => ({ name: names[at] ?? "", content })),
    { name: "config.json", content: image.config },
    dockerManifest("config.json", names),
  ];

  test("uncompressed: identifies each by its digest when it has passed", async () => {
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

  test("uncompressed, in another order than in the manifest", async () => {
    const swapped = await makeTar(archive(image.layers.toReversed()));
    await expect(read(swapped, image, { keeps: true })).rejects.toThrow(/layer sha256:.* has the digest sha256:/);
  });

  test("compressed: identifies them by manifest.json, at the end", async () => {
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

test("identifies an uncompressed blob by its name, stores no other blobs, and accepts no manifest that names it as another layer", async () => {
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

test("a file in another folder is not a blob, even if its name is a digest", async () => {
  const { entries } = layout("mc");
  const moved = image.layers.map((layer): TestEntry => {
    const { blob } = gzipped(layer);
    return { name: `elsewhere/${hexOf(digestOf(blob))}`, content: blob };
  });
  const result = await read(await makeTar([...entries, ...moved]), image, { keeps: true });
  expect(result).toMatchObject({ absent: image.diffIds, unrecognised: [], identified: [] });
});
