import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import type { Engine } from "../../../src/engine/engine.ts";
import { blobPath } from "../../../src/image/oci/oci-layout.ts";
import { InvalidImage } from "../../../src/image/invalid-image.ts";
import { writeTar, type FileToWrite } from "../../../src/image/tar/write-tar.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MAX_MANIFEST, MEDIA_TYPE, encodeManifest } from "../../../src/image/manifest.ts";
import { readManifest } from "../../../src/store/read-manifest.ts";
import { saveBlobs } from "../../../src/store/save-blobs.ts";
import { AMD64, asPlatform } from "../image/platforms.ts";

const descriptor = (text: string) => ({ mediaType: MEDIA_TYPE.ociLayer, digest: digestOf(text), size: text.length });
const image = encodeManifest({
  mediaType: MEDIA_TYPE.ociManifest,
  config: descriptor("config"),
  layers: [descriptor("one"), descriptor("another")],
});
const index = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: [
      { ...descriptor("arm"), platform: { os: "linux", architecture: "arm64" } },
      { ...image.descriptor, platform: { os: "linux", architecture: "amd64" } },
    ],
  }),
);

/** A containerd store with these blobs. It saves the image that was loaded last in the same way as 26.1 and 28.5. */
function engineWith(blobs: readonly Buffer[], save?: (requestedBlobs: string[]) => Readable) {
  const held = new Map(blobs.map((blob) => [digestOf(blob), blob]));
  const removed: string[] = [];
  let requestedBlobs: { digest: string; size: number }[] = [];
  const engine = {
    contentStore: async () => undefined,
    async loadImage(archive: Readable) {
      const text = (await buffer(archive)).toString();
      const manifest = /\{"schemaVersion":2,"mediaType":"[^"]*manifest[^"]*","config".*?\]\}/.exec(text)?.[0] ?? "";
      requestedBlobs = (JSON.parse(manifest) as { layers: typeof requestedBlobs }).layers;
    },
    async saveImage() {
      if (save !== undefined) return save(requestedBlobs.map(({ digest }) => digest));
      const files: FileToWrite[] = [];
      for (const { digest, size } of requestedBlobs) {
        const content = held.get(digest);
        if (content === undefined) return writeTar([]); // if one blob is missing, none is saved
        if (content.length === size) files.push({ path: blobPath(digest), content });
        else return truncatedArchive(digest, size, content);
      }
      return writeTar(files);
    },
    async removeReference(name: string) {
      removed.push(name);
    },
  };
  return { engine: engine as unknown as Engine, removed };
}

/** "unexpected copy size": the blob, then an error in place of further bytes. */
function truncatedArchive(digest: string, size: number, content: Buffer): Readable {
  const error = `{"errorDetail":{"message":"unexpected copy size for ${blobPath(digest)}"},"error":"…"}\r\n`;
  const header = writeTar([{ path: blobPath(digest), file: "/dev/null", size }]);
  return Readable.from(
    (async function* () {
      const { value } = (await (header as AsyncIterable<Buffer>)[Symbol.asyncIterator]().next()) as { value: Buffer };
      yield Buffer.concat([value.subarray(0, 512), content, Buffer.from(error)]);
    })(),
  );
}

describe("the manifest of an image in a containerd store", () => {
  test("is read as a blob", async () => {
    const { engine, removed } = engineWith([image.bytes]);
    const found = await readManifest(engine, { id: image.descriptor.digest, platform: AMD64 }, "localhost/x:layers");
    expect(found?.layers.map(({ digest }) => digest)).toEqual([digestOf("one"), digestOf("another")]);
    expect(removed).toEqual(["localhost/x:layers"]);
  });

  test("is found through an index", async () => {
    const { engine } = engineWith([image.bytes, index]);
    const found = await readManifest(engine, { id: digestOf(index), platform: AMD64 }, "t");
    expect(found?.config.digest).toBe(digestOf("config"));
  });

  test.each<[string, string, string]>([
    ["is missing for that platform", digestOf(index), "linux/s390x"],
    ["is missing", digestOf("nowhere"), "linux/amd64"],
    ["is something else", digestOf("no manifest"), "linux/amd64"],
    ["has an ID that is not a digest", "app:v1", "linux/amd64"],
  ])("%s", async (_, id, platform) => {
    const { engine } = engineWith([image.bytes, index, Buffer.from("no manifest")]);
    expect(await readManifest(engine, { id, platform: asPlatform(platform) }, "t")).toBeUndefined();
  });

  test("is undefined if it has another digest", async () => {
    const lying = ([digest = ""]: string[]): Readable =>
      truncatedArchive(digest, MAX_MANIFEST, Buffer.from('{"layers":[]}'));
    const { engine, removed } = engineWith([], lying);
    expect(await readManifest(engine, { id: image.descriptor.digest, platform: AMD64 }, "t")).toBeUndefined();
    expect(removed).toEqual(["t"]);
  });
});

describe("blobs of a containerd store", () => {
  const take = async (engine: Engine, ...texts: string[]): Promise<string[]> => {
    const taken: string[] = [];
    for await (const { chunks } of saveBlobs(engine, texts.map(descriptor), "t")) {
      for await (const chunk of chunks()) taken.push(chunk.toString());
    }
    return taken;
  };

  test("are streamed, but only those requested", async () => {
    const { engine, removed } = engineWith(["one", "another", "a third"].map((text) => Buffer.from(text)));
    expect(await take(engine, "another", "one")).toEqual(["another", "one"]);
    expect(removed).toEqual(["t"]);
  });

  test("are not streamed if one of them is missing", async () => {
    const { engine } = engineWith([Buffer.from("one")]);
    expect(await take(engine, "one", "nowhere")).toEqual([]);
  });

  test("are not read if one is larger than the size in its descriptor", async () => {
    const large = ([digest = ""]: string[]): Readable => truncatedArchive(digest, 2 ** 40, Buffer.from("x"));
    const { engine, removed } = engineWith([], large);
    await expect(take(engine, "one")).rejects.toThrow(InvalidImage);
    expect(removed).toEqual(["t"]);
  });
});
