/** A hostile sender of an image with its index. The target receives nothing that the index does not name. */
import { describe, expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { gzipped, makeImage, ociBlobs } from "../image/make-image.ts";
import { bytes, pullFrom } from "./hostile-sender.ts";

const image = await makeImage([3000, 700]);
const { manifest, descriptors } = ociBlobs(image, gzipped);
const root = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [manifest.descriptor] }),
);
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const index = { root: text(root), manifests: [text(manifest.bytes)] };
const [lower, upper] = descriptors;
const diffIds = [digestOf(image.config), lower?.digest ?? "", upper?.digest ?? ""];

describe.concurrent("a sender", () => {
  test.each([
    ["of blobs that the manifests do not name", { diffIds: diffIds.slice(1), index }],
    ["of a manifest that the index does not name", { diffIds, index: { ...index, manifests: [text(root)] } }],
    ["of an invalid index", { diffIds, index: { root: 7, manifests: [] } }],
    ["of null in place of an index", { diffIds, index: null }],
  ])("%s breaks the protocol", async (_, about) => {
    const { exitCode, stderr, changed } = await pullFrom(image, { about });
    expect(stderr).toContain("broke the protocol");
    expect({ exitCode, changed }).toEqual({ exitCode: 1, changed: [] });
  });

  test("of an index is refused if one platform was requested", async () => {
    const options = ["--platform", "linux/amd64"];
    const { exitCode, stderr, changed } = await pullFrom(image, { about: { diffIds, index }, options });
    expect(stderr).toContain("one platform was requested");
    expect({ exitCode, changed }).toEqual({ exitCode: 13, changed: [] });
  });

  test("of the manifest of one image is refused if several platforms were requested", async () => {
    const options = ["--platform", "linux/amd64", "--platform", "linux/s390x"];
    const one = { root: text(manifest.bytes), manifests: [] };
    const { exitCode, stderr, changed } = await pullFrom(image, { about: { diffIds, index: one }, options });
    expect(stderr).toContain("sends the image for linux/amd64, not for linux/s390x");
    expect({ exitCode, changed }).toEqual({ exitCode: 13, changed: [] });
  });

  test("that announces a blob as another blob gets an error", async () => {
    const announce = (): object[] => [
      { diffId: diffIds[0], mediaType: MEDIA_TYPE.ociLayer, digest: lower?.digest, size: lower?.size },
    ];
    const { stderr, exitCode, changed } = await pullFrom(image, { about: { diffIds, index }, announce });
    expect(stderr).toContain("is sent as another blob than its manifest names");
    expect({ exitCode, changed }).toEqual({ exitCode: 12, changed: [] });
  });

  test("that sends other bytes gets an error", async () => {
    const announce = (): object[] =>
      diffIds.map((digest) => ({ diffId: digest, mediaType: MEDIA_TYPE.ociLayer, digest, size: 300 }));
    const answer = { layer: bytes(Buffer.alloc(300)) };
    const { stderr, exitCode, changed } = await pullFrom(image, { about: { diffIds, index }, announce, answer });
    expect(stderr).toContain("sha256:");
    expect({ exitCode, changed }).toEqual({ exitCode: 12, changed: [] });
  });
});
