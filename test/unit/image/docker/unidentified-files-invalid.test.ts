import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import { readSavedImage } from "../../../../src/image/docker/read-saved-image.ts";
import { digestOf, type Digest } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE, encodeManifest } from "../../../../src/image/manifest.ts";
import { gzipped, index, LAYOUT, ociBlobs, type Pack } from "../make-image.ts";
import { forgeSize, makeTar, type TestEntry } from "../tar/make-tar.ts";
import { pseudoRandomBytes } from "../../pseudo-random.ts";
import { read, stream } from "./saved-image.ts";
import { entry, image, layout } from "./layout-order.ts";

const [bottom = "", second = "", , top = ""] = image.diffIds;

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

  test.each(orders)("a blob whose size differs from its descriptor, %s", async (order) => {
    const forged = withDescriptors((at) => (at === 1 ? { size: 7000 } : {}))(order);
    await expect(read(await makeTar(forged), image, { keeps: true })).rejects.toBeInstanceOf(InvalidImage);
    const unwanted = await read(await makeTar(forged), image, { keeps: true, wanted: new Set([bottom]) });
    expect(unwanted).toMatchObject({ absent: [], unrecognised: [] });
  });

  test.each(orders)("a layer whose media type is not that of a tar, %s", async (order) => {
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

  test("a layer that is not a tar and has no known compression", async () => {
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

  test("thousands of unidentified blobs: stores no more than the maximum number of layers of an image", async () => {
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
    // The index names a missing manifest, and the manifests among the blobs do not replace it.
    await expect(read(tar, image, { keeps: true })).rejects.toThrow("no image with the layers");
  });

  test("a failed CopyFile: its error is passed on, and the archive is destroyed", async () => {
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
