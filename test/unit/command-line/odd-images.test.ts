import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, encodeManifest } from "../../../src/image/manifest.ts";
import {
  blobEntries,
  configFor,
  dockerManifest,
  gzipped,
  index,
  LAYOUT,
  makeImage,
  ociBlobs,
  plain,
  savePodman,
  type Pack,
  type TestImage,
} from "../image/make-image.ts";
import type { TestEntry } from "../image/tar/make-tar.ts";
import type { SavedImage } from "../../matrix/saved-image.ts";
import { folder, program, run } from "./cli.ts";
import { layoutOf, look, readTree, whole, writeTar, writeTree } from "./images.ts";

/** Unusual images that users have reported to other tools. An image that one of these tools accepts is sent. */

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000, 70_000]);
const REF = "org.opencontainers.image.ref.name";
let count = 0;

/** Sends the image at a location to a new layout. */
async function send(source: string, ...words: string[]): Promise<{ status?: number; stderr: string; to: string }> {
  const to = `to-${(count += 1)}`;
  const { exitCode, stderr } = await run("push", source, ...program, "pull", "--to", `oci:${to}`, "app:v1", ...words);
  return { ...(exitCode !== undefined && { status: exitCode }), stderr, to: at(to) };
}

/** Sends an image, and reads it from the new layout. */
async function sent(source: string): Promise<{ stderr: string; there?: SavedImage }> {
  const { status, stderr, to } = await send(source);
  return { stderr, ...(status === 0 && { there: await look("oci", to, "app:v1") }) };
}

const tarName = (diffId: string): string => `${hexOf(diffId)}.tar`;

/** Returns a docker archive: config, layers, manifest. */
function archiveOf({ config, diffIds, layers }: TestImage, layerName = tarName): TestEntry[] {
  const names = diffIds.map((diffId) => layerName(diffId));
  return [
    { name: "config.json", content: config },
    ...names.map((name, nth) => ({ name, content: layers[nth] ?? "" })),
    dockerManifest("config.json", names),
  ];
}

/** Returns a layout without the blob of the lowest layer; `base` changes the layer's descriptor in the manifest. */
function withoutBase(of: TestImage, base: object, pack: Pack = gzipped): TestEntry[] {
  const { blobs, descriptors } = ociBlobs(of, pack);
  const [lowest, ...others] = descriptors;
  const config = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(of.config), size: of.config.length };
  const layers = [{ ...lowest, ...base }, ...others] as typeof descriptors;
  const manifest = encodeManifest({ mediaType: MEDIA_TYPE.ociManifest, config, layers });
  const kept = blobs.filter((blob) => digestOf(blob) !== lowest?.digest);
  return [...blobEntries([...kept, manifest.bytes]), index([manifest.descriptor]), LAYOUT];
}

describe.concurrent("is sent", () => {
  test.each([
    ["a slash before it", (name: string) => `/${name}`],
    ["./ before it", (name: string) => `./${name}`],
  ])("a docker archive in which each name has %s", async (what, named) => {
    const path = `named-${what.length}.tar`;
    const entries = archiveOf(image, (diffId) => named(tarName(diffId)));
    await writeTar(at(path), entries);
    expect(await sent(`docker-archive:${path}`)).toMatchObject({ there: whole(image) });
  });

  test.each([
    ["an empty", { architecture: "" }],
    ["no", { architecture: undefined }],
  ])("a config with %s architecture, with a warning", async (_, platform) => {
    const odd = { ...image, ...configFor(image.layers, platform as unknown as Record<string, string>) };
    const path = `architecture-${String(platform.architecture)}.tar`;
    await writeTar(at(path), archiveOf(odd));
    const { stderr, there } = await sent(`docker-archive:${path}`);
    expect(stderr).toContain("the image's config does not name its whole platform (linux/unknown)");
    expect(there).toEqual(whole(odd));
  });

  test("a layout that also contains the image's signature", async () => {
    const { blobs, manifest } = ociBlobs(image, gzipped);
    const payload = Buffer.from('{"critical":{}}');
    const layer = { mediaType: "application/vnd.dev.cosign.simplesigning.v1+json", ...measured(payload) };
    const config = Buffer.from(
      JSON.stringify({ architecture: "", os: "", rootfs: { type: "layers", diff_ids: [digestOf("")] }, config: {} }),
    );
    const signature = encodeManifest({
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: MEDIA_TYPE.ociConfig, ...measured(config) },
      layers: [layer],
    });
    await writeTree(at("signed"), [
      ...blobEntries([...blobs, payload, config, signature.bytes]),
      index([
        { ...manifest.descriptor, annotations: { [REF]: "odd:1", kind: "dev.cosignproject.cosign/image" } },
        { ...signature.descriptor, annotations: { [REF]: "sig", kind: "dev.cosignproject.cosign/sigs" } },
      ]),
      LAYOUT,
    ]);
    expect(await sent("oci:signed")).toMatchObject({ there: whole(image) });
    expect(await sent("oci:signed:odd:1")).toMatchObject({ there: whole(image) });
  });

  test.each([
    ["of a digest that is not sha256", { digest: `sha512:${"a".repeat(128)}`, size: 3 }, []],
    ["with an invalid manifest", measured(Buffer.from("{}")), [Buffer.from("{}")]],
    [
      "with an invalid nested index",
      { ...measured(Buffer.from("{}")), mediaType: MEDIA_TYPE.ociIndex },
      [Buffer.from("{}")],
    ],
  ])("a layout with another entry %s", async (what, described, more) => {
    const { blobs, manifest } = ociBlobs(image, gzipped);
    const other = { mediaType: MEDIA_TYPE.ociManifest, ...described, annotations: { [REF]: "other:v1" } };
    const path = `sibling-${what.length}`;
    await writeTree(at(path), [
      ...blobEntries([...blobs, ...more]),
      index([{ ...manifest.descriptor, annotations: { [REF]: "app:v1" } }, other]),
      LAYOUT,
    ]);
    expect(await sent(`oci:${path}`)).toMatchObject({ there: whole(image) });
  });

  test("an archive that contains the same file twice, or a layer twice", async () => {
    const twice = await makeImage([3000, 70_000, 3000]);
    await writeTar(at("twice.tar"), [...archiveOf(twice), ...archiveOf(twice).slice(0, 1)]);
    expect(await sent("docker-archive:twice.tar")).toMatchObject({ there: whole(twice) });
  });

  test.each([
    ["docker-archive:is-oci.tar", "is-oci.tar"],
    ["oci-archive:is-docker.tar", "is-docker.tar"],
  ])("%s is read by its content, not by the location's kind", async (source, path) => {
    await writeTar(at(path), path === "is-oci.tar" ? layoutOf([{ image }]) : await savePodman(image));
    expect(await sent(source)).toMatchObject({ there: whole(image) });
  });

  test("a docker archive unpacked into a folder, and a layout given as an archive", async () => {
    await writeTree(at("unpacked"), archiveOf(image));
    for (const source of ["oci:unpacked", "docker-archive:unpacked"])
      expect(await sent(source)).toMatchObject({ there: whole(image) });
    await writeTree(at("layout"), layoutOf([{ image }]));
    for (const source of ["oci-archive:layout", "docker-archive:layout"])
      expect(await sent(source)).toMatchObject({ there: whole(image) });
  });

  test("a layout whose media types are gzip for plain layers; the target has the correct types", async () => {
    const says: Pack = (layer) => ({ blob: layer, mediaType: MEDIA_TYPE.ociLayerGzip });
    await writeTree(at("says-gzip"), layoutOf([{ image }], says));
    const { status, to } = await send("oci:says-gzip");
    expect(status).toBe(0);
    expect(await look("oci", to, "app:v1")).toEqual(whole(image));
    const written = [...(await readTree(to)).values()].map(String).find((text) => text.includes('"layers":['));
    expect(written).toContain(`"${MEDIA_TYPE.ociLayer}"`);
    expect(written).not.toContain(MEDIA_TYPE.ociLayerGzip);
  });
});

describe("without its lowest layer", () => {
  const [base = Buffer.alloc(0)] = image.layers;
  const url = "https://example.com/base";
  const foreign = { mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls: [url] };
  const sources: [string, () => Promise<void>, RegExp][] = [
    ["oci:shallow", async () => await writeTree(at("shallow"), withoutBase(image, {})), /is not in/],
    ["oci:foreign", async () => await writeTree(at("foreign"), withoutBase(image, foreign)), /example\.com\/base/],
    [
      "docker-archive:shallow.tar",
      async () => await writeTar(at("shallow.tar"), archiveOf(image).toSpliced(1, 1)),
      /is not in/,
    ],
    [
      "docker-archive:emptied.tar",
      async () => {
        const emptied = archiveOf(image).map((one) => (one.content === base ? { ...one, content: "" } : one));
        await writeTar(at("emptied.tar"), emptied);
      },
      /is not in/,
    ],
  ];
  test.each(sources)("%s is sent only if the target has that layer", async (source, write, message) => {
    await write();
    const { status, stderr } = await send(source);
    expect(stderr).toContain(image.diffIds[0]);
    expect(stderr).toMatch(message);
    expect(status).toBe(3);

    const to = `has-base-${(count += 1)}`;
    const older = await makeImage([3000, 500]);
    await writeTree(at(to), layoutOf([{ image: older, ref: "app:v0" }]));
    const line = ["push", source, ...program, "pull", "--to", `oci:${to}`, "app:v1"];
    expect(await run(...line)).toMatchObject({
      exitCode: 0,
      stderr: expect.stringMatching(/1 layer \(.*\) already present/) as string,
    });
    expect(await look("oci", at(to), "app:v1")).toEqual(whole(image));
  });
});

test("rejects an archive with two different files of the same name", async () => {
  const other = { name: "config.json", content: Buffer.alloc(image.config.length, " ") };
  await writeTar(at("differ.tar"), [...archiveOf(image), other]);
  const { status, stderr } = await send("docker-archive:differ.tar");
  expect(stderr).toContain('has "config.json" twice');
  expect(status).toBe(3);
});

test("the error about several images lists only valid ones", async () => {
  const two = [image, await makeImage([500])].map((one) => ociBlobs(one, plain));
  const broken = Buffer.from("{}");
  await writeTree(at("several"), [
    ...blobEntries([...two.flatMap(({ blobs }) => blobs), broken]),
    index([
      ...two.map(({ manifest }, nth) => ({ ...manifest.descriptor, annotations: { [REF]: `app:${nth}` } })),
      { mediaType: MEDIA_TYPE.ociManifest, ...measured(broken), annotations: { [REF]: "app:broken" } },
    ]),
    LAYOUT,
  ]);
  const { status, stderr } = await send("oci:several");
  expect(stderr).toContain('"app:0", "app:1"');
  expect(stderr).not.toContain("broken");
  expect(status).toBe(3);
  await rm(at("several"), { recursive: true });
});

function measured(bytes: Buffer): { digest: string; size: number } {
  return { digest: digestOf(bytes), size: bytes.length };
}
