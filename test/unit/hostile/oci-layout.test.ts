/** A hostile OCI layout. The sender rejects it before it starts the remote command. */
import { rename, rm, symlink, truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { index } from "../image/make-image.ts";
import { makeTar, type TestEntry } from "../image/tar/make-tar.ts";
import { layoutOf } from "../command-line/images.ts";
import {
  GB,
  blobPath,
  hugeFirst,
  image,
  layout,
  layoutFolder,
  lowestBlob,
  manifest,
  push,
  replaced,
  tarFile,
  thousands,
  topBlob,
  withManifest,
  without,
} from "./hostile-archives.ts";
import { refused } from "./run-program.ts";

/** A digest that no blob has. */
const fakeDigest = `sha256:${"0".repeat(64)}`;
const selfIndex = Buffer.from(
  JSON.stringify({ manifests: [{ mediaType: MEDIA_TYPE.ociIndex, digest: fakeDigest, size: 149 }] }),
);
/** Nested indexes, the innermost first. */
let outermost = Buffer.from(JSON.stringify({ manifests: [manifest.descriptor] }));
const levels = [outermost];
const indexOf = (bytes: Buffer) => ({ mediaType: MEDIA_TYPE.ociIndex, digest: digestOf(bytes), size: bytes.length });
for (let level = 0; level < 6; level++)
  levels.push((outermost = Buffer.from(JSON.stringify({ manifests: [indexOf(outermost)] }))));

describe.concurrent("an OCI layout", () => {
  test.each<[string, TestEntry[], number, RegExp]>([
    [
      "an index that names itself",
      [
        ...replaced(
          layout,
          "index.json",
          index([{ mediaType: MEDIA_TYPE.ociIndex, digest: fakeDigest, size: selfIndex.length }]),
        ),
        { name: blobPath(fakeDigest), content: selfIndex },
      ],
      12,
      /has the digest|its descriptor states/,
    ],
    [
      "indexes within indexes",
      [
        ...without(layout, "index.json"),
        ...levels.map((content) => ({ name: blobPath(digestOf(content)), content })),
        index([indexOf(outermost)]),
      ],
      3,
      /nested more than 4 levels deep/,
    ],
    [
      "an index of 50,001",
      [...without(layout, "index.json"), index(Array.from({ length: 50_001 }, () => manifest.descriptor))],
      3,
      /more than 50000 manifests/,
    ],
    [
      "a digest that is a path",
      [...without(layout, "index.json"), index([{ ...manifest.descriptor, digest: "sha256:../../../etc/passwd" }])],
      3,
      /malformed/,
    ],
    [
      "a manifest with 10,000 layers",
      withManifest((whole) => ({ ...whole, layers: thousands(whole.layers[0]) })),
      12,
      /more than 1000 layers/,
    ],
    [
      "a wrong size of the manifest",
      [...without(layout, "index.json"), index([{ ...manifest.descriptor, size: manifest.descriptor.size + 1 }])],
      12,
      /its descriptor states/,
    ],
    [
      "a wrong size of the config",
      withManifest((whole) => ({ ...whole, config: { ...whole.config, size: 5 } })),
      12,
      /its descriptor states 5/,
    ],
    [
      "a wrong size of a layer",
      withManifest((whole) => ({ ...whole, layers: whole.layers.map((layer) => ({ ...layer, size: 5 })) })),
      12,
      /its descriptor states 5/,
    ],
    [
      "a config of another digest",
      layout.map((entry) =>
        entry.content === image.config ? { ...entry, content: Buffer.alloc(image.config.length, " ") } : entry,
      ),
      12,
      /has the digest sha256:/,
    ],
    [
      "fewer layers than the config",
      withManifest((whole) => ({ ...whole, layers: whole.layers.slice(1) })),
      12,
      /names 1 layers, its config 2/,
    ],
  ])("with %s", async (_, entries, status, message) => {
    expect(await push(`oci:${await layoutFolder(entries)}`)).toEqual(refused(status, message));
  });

  test("in a tar: with a wrong size of a layer", async () => {
    const small = withManifest((whole) => ({ ...whole, layers: whole.layers.map((layer) => ({ ...layer, size: 5 })) }));
    const path = await tarFile(await makeTar(small));
    expect(await push(`oci-archive:${path}`)).toEqual(refused(12, /its descriptor states 5/));
  });

  test("with a config of 1 GB, as a folder and as a tar", async () => {
    const huge = withManifest((whole) => ({ ...whole, config: { ...whole.config, digest: fakeDigest, size: GB } }));
    const path = await layoutFolder([...huge, { name: blobPath(fakeDigest), content: "" }]);
    await truncate(join(path, blobPath(fakeDigest)), GB);
    expect(await push(`oci:${path}`)).toEqual(refused(12, /larger than 8388608 bytes/));
    expect(await push(`oci-archive:${await hugeFirst([{ name: blobPath(fakeDigest) }, ...huge])}`)).toEqual(
      refused(12, /larger than 8388608/),
    );
  });

  test.skipIf(process.platform === "win32")("with a blob that is an endless device", async () => {
    const path = await layoutFolder(layout);
    await rm(join(path, topBlob));
    await symlink("/dev/zero", join(path, topBlob));
    expect(await push(`oci:${path}`)).toEqual(refused(12, /is not a file/));
  });

  test("with blobs that have swapped names", async () => {
    const path = await layoutFolder(layoutOf([{ image: { ...image, layers: image.layers }, ref: "v1" }]));
    await rename(join(path, lowestBlob), join(path, "x"));
    await rename(join(path, topBlob), join(path, lowestBlob));
    await rename(join(path, "x"), join(path, topBlob));
    expect(await push(`oci:${path}`)).toEqual(refused(12, /its descriptor states/));
  });
});
