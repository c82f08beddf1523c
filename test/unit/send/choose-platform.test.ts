/** The choice among an image's platforms. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { archiveSource } from "../../../src/send/from-archive/archive-source.ts";
import { engineSource } from "../../../src/send/from-engine/engine-source.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { parseImageName } from "../../../src/image/image-name.ts";
import type { Output } from "../../../src/output/output.ts";
import { makeImage } from "../image/make-image.ts";
import { layoutOf, multiPlatformLayout, writeTree } from "../command-line/images.ts";
import { AMD64, ARM64, asPlatform } from "../image/platforms.ts";
import type { Platform } from "../../../src/image/platform.ts";

const folder = await mkdtemp(join(tmpdir(), "variants-"));
afterAll(async () => await rm(folder, { recursive: true }));

const amd64 = await makeImage([100]);
const arm64 = await makeImage([200], { architecture: "arm64", variant: "v8" });
const image = parseImageName("app:v1");

/** Requests the image for a platform, or for the platform of a receiver. */
function requested({ platform, receiverPlatform }: { platform?: string; receiverPlatform?: string } = {}) {
  return {
    image,
    ...(platform !== undefined && { platform: asPlatform(platform) }),
    ...(receiverPlatform !== undefined && { receiverPlatform: asPlatform(receiverPlatform) }),
  };
}

describe("in an OCI layout", async () => {
  await writeTree(join(folder, "many"), multiPlatformLayout({ "linux/amd64": amd64, "linux/arm64/v8": arm64 }, "v1"));
  await writeTree(join(folder, "one"), layoutOf([{ image: arm64, ref: "v1" }]));
  const options = { env: {}, output: {} as Output, signal: new AbortController().signal };
  const open = async (name: string) =>
    await archiveSource({ kind: "oci", given: "", path: join(folder, name) }, options);

  test.each([
    [{ receiverPlatform: "linux/arm64" }, "linux/arm64/v8"],
    [{ receiverPlatform: "linux/amd64" }, "linux/amd64"],
    [{ platform: "linux/amd64", receiverPlatform: "linux/arm64" }, "linux/amd64"],
  ])("%j: %s", async (request, platform) => {
    await using source = await open("many");
    await source.check({}); // the receiver may choose
    expect((await source.find(requested(request))).platform).toEqual(asPlatform(platform));
  });

  test("lists the platforms in an error if none is the receiver's", async () => {
    await using source = await open("many");
    for (const request of [{}, { receiverPlatform: "linux/s390x" }])
      await expect(source.find(requested(request))).rejects.toThrow("linux/amd64, linux/arm64/v8: choose a platform");
    await expect(source.find(requested({ platform: "linux/s390x" }))).rejects.toThrow("no image for linux/s390x");
    await expect(source.check({ platform: asPlatform("linux/s390x") })).rejects.toThrow("no image for linux/s390x");
  });

  test("chooses the only platform for any receiver, which warns", async () => {
    await using source = await open("one");
    expect((await source.find(requested({ receiverPlatform: "linux/amd64" }))).platform).toEqual(
      asPlatform("linux/arm64/v8"),
    );
  });
});

describe("in an engine with a containerd store", () => {
  /** Has the image for both platforms. Its own platform is amd64. */
  const engine = {
    address: "there",
    info: async () => ({ store: "containerd", platform: AMD64 }),
    contentStore: async () => undefined,
    inspectImage: async (_: string, platform: Platform = AMD64) => {
      const found = [amd64, arm64].find((_image, index) => isDeepStrictEqual([AMD64, ARM64][index], platform));
      return found && { id: "", size: 0, diffIds: found.diffIds, platform };
    },
  } as unknown as Engine;
  const source = engineSource(engine, { kind: "embedded" }, image);

  test.each([
    [{}, "linux/amd64"],
    [{ receiverPlatform: "linux/amd64" }, "linux/amd64"],
    [{ receiverPlatform: "linux/arm64" }, "linux/arm64"],
    [{ receiverPlatform: "linux/s390x" }, "linux/amd64"],
    [{ platform: "linux/amd64", receiverPlatform: "linux/arm64" }, "linux/amd64"],
  ])("%j: %s", async (request, platform) => {
    expect((await source.find(requested(request))).platform).toEqual(asPlatform(platform));
  });

  test("rejects a requested platform that is missing", async () => {
    const failing = source.find(requested({ platform: "linux/s390x" }));
    await expect(failing).rejects.toThrow("app:v1 is for linux/amd64, not for linux/s390x");
  });

  test("rejects different image names of the two sides", async () => {
    await expect(source.find({ image: parseImageName("app:v2") })).rejects.toThrow(
      "the receiving side requests app:v2",
    );
  });
});
