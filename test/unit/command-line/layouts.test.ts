import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { blobEntries, gzipped, index, LAYOUT, makeImage, ociBlobs, plain, type Pack } from "../image/make-image.ts";
import type { TestEntry } from "../image/tar/make-tar.ts";
import { folder, program, run } from "./cli.ts";
import { layoutOf, look, readTree, whole, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000, 700]);
const other = await makeImage([500, 700]);
const { blobs, descriptors, manifest } = ociBlobs(image, gzipped);
await writeTree(at("image"), layoutOf([{ image, ref: "v1" }]));
await writeTree(at("other"), layoutOf([{ image: other, ref: "v1" }]));

const put = async (source: string, to: string, name = "app:new") =>
  await run("pull", "--to", `oci:${to}`, name, ...program, "push", source);
/** Returns the descriptors of a layout's index.json. */
const entriesOf = async (name: string): Promise<{ annotations?: Record<string, string> }[]> =>
  (JSON.parse(await readFile(at(`${name}/index.json`), "utf8")) as { manifests: object[] }).manifests;
const named = (ref: string): object => ({
  ...manifest.descriptor,
  annotations: { "io.containerd.image.name": `docker.io/library/${ref}`, "org.opencontainers.image.ref.name": ref },
});

describe("a layout with thousands of images", () => {
  test("accepts one more image, and can be read", async () => {
    const before = Array.from({ length: 16_000 }, (_, build) => named(`app:v${build}`));
    await writeTree(at("years"), [...blobEntries(blobs), index(before), LAYOUT]);
    expect((await readFile(at("years/index.json"))).length).toBeGreaterThan(4 * 1024 * 1024);
    expect(await put("oci:other", "years")).toMatchObject({ exitCode: 0 });
    expect(await entriesOf("years")).toHaveLength(16_001);
    for (const [name, sent] of [["app:new", other] as const, ["app:v15999", image] as const]) {
      expect(await run("push", `oci:years:${name}`, ...program, "pull", "--to", "oci:read", name)).toMatchObject({
        exitCode: 0,
      });
      expect(await look("oci", at("read"), name)).toEqual(whole(sent));
    }
  });

  test("and no space for another one causes an error before a file is written", async () => {
    const before = Array.from({ length: 50_000 }, (_, build) => ({
      ...manifest.descriptor,
      annotations: { "org.opencontainers.image.ref.name": `v${build}` },
    }));
    await writeTree(at("full"), [...blobEntries(blobs), index(before), LAYOUT]);
    const digests = async (): Promise<string[]> =>
      [...(await readTree(at("full")))].map(([path, bytes]) => `${path} ${digestOf(bytes)}`).toSorted();
    const there = await digests();
    const { exitCode, stderr } = await put("oci:other", "full");
    expect(stderr).toContain("full has no room for another image: its indexes cannot name more than 50000 manifests");
    expect(exitCode).toBe(13);
    expect(await digests()).toEqual(there);
  });

  test("an index.json that is nested too deeply causes an error before a file is written", async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    await writeTree(at("deep"), [{ name: "index.json", content: `{"x":${deep},"manifests":[]}` }, LAYOUT]);
    const { exitCode, stderr } = await put("oci:other", "deep");
    expect(stderr).toContain("deep is invalid: its index.json is nested more than 64 levels deep");
    expect(exitCode).toBe(12);
    expect(await readdir(at("deep"))).toEqual(["index.json", "oci-layout"]);
  });
});

/** Entries of other tools next to an image: the descriptor and the blobs. */
const signature = Buffer.from("{}");
const signed = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(signature), size: signature.length },
    layers: [],
  }),
);
const siblings: Record<string, [object, Buffer[]]> = {
  "a signature, with a config of no platform": [
    {
      mediaType: MEDIA_TYPE.ociManifest,
      digest: digestOf(signed),
      size: signed.length,
      annotations: { "org.opencontainers.image.ref.name": "sha256-1234.sig" },
    },
    [signature, signed],
  ],
  "a digest of sha512": [{ mediaType: MEDIA_TYPE.ociManifest, digest: `sha512:${"ab".repeat(64)}`, size: 7 }, []],
  "no descriptor at all": [{ mediaType: 7, "x.y": { z: [1, null] } }, []],
  "the same entry twice": [{ ...manifest.descriptor, annotations: { "org.opencontainers.image.ref.name": "v1" } }, []],
};
test.each(Object.keys(siblings))("%s next to an image does no harm, and stays", async (what) => {
  const [sibling, more] = siblings[what] ?? [{}, []];
  const name = `beside-${what.replaceAll(/\W/g, "")}`;
  const first = { ...manifest.descriptor, annotations: { "org.opencontainers.image.ref.name": "v1" } };
  await writeTree(at(name), [...blobEntries([...blobs, ...more]), index([first, sibling]), LAYOUT]);
  expect(await put("oci:other", name)).toMatchObject({
    exitCode: 0,
    stderr: expect.stringContaining("for 1 layer, 1 layer ") as string,
  });
  expect((await entriesOf(name)).slice(0, 2)).toEqual([first, sibling]);
  expect((await look("oci", at(name), "app:new")).diffIds).toEqual(other.diffIds);
});

describe("a name in a layout stays until another image gets this name", () => {
  test("two images whose names in the layout differ both stay; the name for engines moves to the new image", async () => {
    expect((await put("oci:image", "names:staging", "app")).exitCode).toBe(0);
    expect((await put("oci:other", "names:prod", "app")).exitCode).toBe(0);
    expect(await look("oci", at("names"), "staging")).toEqual(whole(image));
    expect(await look("oci", at("names"), "prod")).toEqual(whole(other));
    const [staging, prod] = await entriesOf("names");
    expect(staging?.annotations).toEqual({ "org.opencontainers.image.ref.name": "staging" });
    expect(prod?.annotations).toEqual({
      "io.containerd.image.name": "docker.io/library/app:latest",
      "org.opencontainers.image.ref.name": "prod",
    });
  });

  test("another spelling of a name is the same name", async () => {
    expect((await put("oci:image", "spelt", "app:v1")).exitCode).toBe(0);
    expect((await put("oci:other", "spelt", "docker.io/library/app:v1")).exitCode).toBe(0);
    expect(await entriesOf("spelt")).toHaveLength(1);
  });
});

describe("an image replaces damaged blobs", () => {
  const bytesAt = (name: string, digest: string): string => at(`${name}/blobs/sha256/${hexOf(digest)}`);
  const damage = async (path: string): Promise<void> => {
    const { length } = await readFile(path);
    await rm(path);
    await writeFile(path, Buffer.alloc(length)); // as after a power failure
  };

  test("an unlisted file of the right size", async () => {
    await writeTree(at("unlisted"), layoutOf([{ image: other, ref: "v1" }]));
    const [layer] = descriptors;
    await writeFile(bytesAt("unlisted", layer?.digest ?? ""), Buffer.alloc(layer?.size ?? 0));
    expect((await put("oci:image", "unlisted")).exitCode).toBe(0);
    expect(await look("oci", at("unlisted"), "app:new")).toEqual(whole(image));
  });

  test.each([
    ["a layer", descriptors[1]?.digest ?? ""],
    ["the config", digestOf(image.config)],
    ["the manifest", manifest.descriptor.digest],
  ])("%s of the same image, listed", async (what, digest) => {
    const name = `damaged-${what.replace(" ", "-")}`;
    await writeTree(at(name), layoutOf([{ image, ref: "app:v1" }]));
    await damage(bytesAt(name, digest));
    expect((await put("oci:image", name, "app:v1")).exitCode).toBe(0);
    expect(await look("oci", at(name), "app:v1")).toEqual(whole(image));
  });

  test("a layer shared with another image", async () => {
    await writeTree(at("shared"), layoutOf([{ image, ref: "app:v1" }]));
    await damage(bytesAt("shared", descriptors[1]?.digest ?? ""));
    expect((await put("oci:other", "shared")).exitCode).toBe(0);
    expect(await look("oci", at("shared"), "app:new")).toEqual(whole(other));
    expect(await look("oci", at("shared"), "app:v1")).toEqual(whole(image));
  });
});

test("a symlink in place of a blob is replaced, and its target stays", async () => {
  await mkdir(at("linked/blobs/sha256"), { recursive: true });
  await writeFile(at("elsewhere"), "mine");
  await symlink(at("elsewhere"), at(`linked/blobs/sha256/${hexOf(descriptors[0]?.digest ?? "")}`));
  expect((await put("oci:image", "linked")).exitCode).toBe(0);
  expect(await look("oci", at("linked"), "app:new")).toEqual(whole(image));
  expect(await readFile(at("elsewhere"), "utf8")).toBe("mine");
});

describe("corrects the media type of a layer that names the wrong compression", () => {
  const wronglyPlain: Pack = (layer) => ({ ...plain(layer), mediaType: MEDIA_TYPE.ociLayerGzip });
  const wronglyGzip: Pack = (layer) => ({ ...gzipped(layer), mediaType: MEDIA_TYPE.ociLayer });
  const layerTypes = async (name: string): Promise<string[]> => {
    const files = await readTree(at(name));
    const [entry] = (await entriesOf(name)) as { digest: string }[];
    const { layers } = JSON.parse(files.get(`blobs/sha256/${hexOf(entry?.digest ?? "")}`)?.toString() ?? "") as {
      layers: { mediaType: string }[];
    };
    return layers.map(({ mediaType }) => mediaType);
  };

  test.each([
    ["plain", wronglyPlain, MEDIA_TYPE.ociLayer],
    ["gzip", wronglyGzip, MEDIA_TYPE.ociLayerGzip],
  ])("it is %s", async (what, pack, type) => {
    const twice: TestEntry[] = layoutOf([{ image, ref: "v1" }], pack);
    await writeTree(at(`mistyped-${what}`), twice);
    expect((await put(`oci:mistyped-${what}`, `typed-${what}`)).exitCode).toBe(0);
    expect(await layerTypes(`typed-${what}`)).toEqual([type, type]);
    expect(await look("oci", at(`typed-${what}`))).toEqual(whole(image));
  });

  test("even if the target has the layer", async () => {
    await writeTree(at("mistyped"), layoutOf([{ image, ref: "app:new" }], wronglyPlain));
    expect((await put("oci:mistyped-plain", "mistyped")).exitCode).toBe(0);
    expect(await layerTypes("mistyped")).toEqual([MEDIA_TYPE.ociLayer, MEDIA_TYPE.ociLayer]);
  });
});
