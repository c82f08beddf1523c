import { createHash } from "node:crypto";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { writeFile } from "node:fs/promises";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { base256, END, entry, longName, noise, pax } from "../delta/odd-tars.ts";
import {
  blobEntries,
  configFor,
  gzipped,
  index,
  LAYOUT,
  makeImage,
  ociBlobs,
  saveLegacy,
  type Pack,
  type TestImage,
} from "../image/make-image.ts";
import type { TestEntry } from "../image/tar/make-tar.ts";
import { folder, program, run } from "./cli.ts";
import { layoutOf, look, whole, writeTar, writeTree } from "./images.ts";

/** Rare but valid images of common builders, and archives of common tools. */

const at = (name: string): string => join(folder, name);
const imageOf = (layers: Buffer[]): TestImage => ({ layers, ...configFor(layers) });

async function push(source: string, to: string): Promise<void> {
  const { exitCode, stderr } = await run("push", source, ...program, "pull", "--to", to, "app:v1");
  expect(stderr).toContain("pushed");
  expect(exitCode).toBe(0);
}

describe("a layer arrives bit for bit, sent whole or by delta", () => {
  const file = (name: string, content = Buffer.from(name)): Buffer => entry({ name: name.slice(0, 100), content });
  const [deep, long] = [`${"folder/".repeat(30)}file`, "n".repeat(255)];
  const layer = (version: number): Buffer =>
    Buffer.concat([
      pax({ comment: "of all that follows" }, "g"),
      entry({ name: "app/", type: "5", mode: "0000755\0" }),
      file("app/large", Buffer.from(noise(700_000, 1))),
      file("app/version", Buffer.from(noise(3000, version))),
      file("app/.wh.gone"),
      file("app/folder/.wh..wh..opq"),
      entry({ name: "app/was-file/", type: "5" }),
      file("app/was-file/.wh.inside"),
      pax({ path: deep }),
      file(deep),
      longName(long),
      file(long),
      pax({ path: "app/é-ü-漢-\u{1f433}" }),
      file("app/e"),
      file("app/latin-\xfc"),
      entry({ name: "app/base-256", size: base256(3000n), content: noise(3000, 2) }),
      END,
    ]);
  const [older, newer] = [imageOf([layer(3)]), imageOf([layer(4)])];

  test.each(["oci", "docker-archive"] as const)("to %s", async (kind) => {
    await writeTree(at(`older-${kind}`), layoutOf([{ image: older, ref: "v0" }]));
    await writeTree(at(`newer-${kind}`), layoutOf([{ image: newer, ref: "v1" }]));
    const to = `layers-${kind}`;
    await push(`oci:older-${kind}`, `${kind}:${to}`);
    expect(await look(kind, at(to), "app:v1")).toEqual(whole(older));
    const { exitCode, stderr } = await run(
      "push",
      `oci:newer-${kind}`,
      ...program,
      "pull",
      "--delta=always",
      "--to",
      `${kind}:${to}`,
      "app:v1",
    );
    expect(stderr).toContain("rebuilt from files there");
    expect(exitCode).toBe(0);
    expect(await look(kind, at(to), "app:v1")).toEqual(whole(newer));
  });
});

describe.concurrent("is sent", async () => {
  const image = await makeImage([3000, 70_000]);
  const [bottom = Buffer.alloc(0), top = Buffer.alloc(0)] = image.layers;
  const aba = imageOf([bottom, top, bottom]);
  const halves: Pack = (layer) => {
    const parts = [layer.subarray(0, 1000), layer.subarray(1000)].map((part) => gzipSync(part));
    return { blob: Buffer.concat(parts), mediaType: MEDIA_TYPE.ociLayerGzip };
  };
  const described: TestImage = {
    ...image,
    config: Buffer.from(JSON.stringify({ ...(JSON.parse(image.config.toString()) as object), history: null })),
  };
  const names = image.diffIds.map((diffId) => `${hexOf(diffId)}.tar`);
  const archive = (RepoTags: string[] | null, config = image.config): TestEntry[] => [
    { name: "config.json", content: config },
    ...names.map((name, nth) => ({ name, content: image.layers[nth] ?? "" })),
    { name: "manifest.json", content: JSON.stringify([{ Config: "config.json", RepoTags, Layers: names }]) },
  ];
  const attested = (): TestEntry[] => {
    const { blobs, manifest } = ociBlobs(image, gzipped);
    const absent = {
      ...manifest.descriptor,
      digest: digestOf("absent"),
      platform: { os: "unknown", architecture: "unknown" },
    };
    const nested = Buffer.from(
      JSON.stringify({
        manifests: [
          { ...manifest.descriptor, platform: { os: "linux", architecture: "amd64" } },
          { ...absent, annotations: { "vnd.docker.reference.type": "attestation-manifest" } },
        ],
      }),
    );
    const described = { mediaType: MEDIA_TYPE.ociIndex, digest: digestOf(nested), size: nested.length };
    return [...blobEntries([nested, ...blobs]), index([described]), LAYOUT];
  };

  test.each<[string, () => TestEntry[], TestImage]>([
    ["a layout of layers A, B, A", () => layoutOf([{ image: aba }]), aba],
    ["a layout of gzip in several members", () => layoutOf([{ image }], halves), image],
    ["an index with an attestation whose blob is missing", attested, image],
  ])("%s", async (what, entries, expected) => {
    const name = createHash("md5").update(what).digest("hex");
    await writeTree(at(name), entries());
    await push(`oci:${name}`, `oci:to-${name}`);
    expect(await look("oci", at(`to-${name}`), "app:v1")).toEqual(whole(expected));
  });

  test.each<[string, () => TestEntry[] | Promise<TestEntry[]>, TestImage]>([
    ["an archive with links for a repeated layer", async () => await saveLegacy(aba), aba],
    ["an archive without names", () => archive(null), image],
    ["an archive whose history is null", () => archive(["app:v1"], described.config), described],
    ["an archive with a tag of 128 characters", () => archive([`app:${"a".repeat(128)}`]), image],
  ])("%s", async (what, entries, expected) => {
    const name = createHash("md5").update(what).digest("hex");
    await writeTar(at(name), await entries());
    await push(`docker-archive:${name}`, `oci:to-${name}`);
    expect(await look("oci", at(`to-${name}`), "app:v1")).toEqual(whole(expected));
  });

  test("an archive with a global header, ./ before each name, and sizes in base 256", async () => {
    const files = archive(["app:v1"]).map(({ name, content = "" }) => {
      const bytes = Buffer.from(content);
      return entry({ name: `./${name}`, content: bytes, size: base256(BigInt(bytes.length)) });
    });
    await writeFile(at("headers.tar"), Buffer.concat([pax({ comment: "x" }, "g"), ...files, END]));
    await push("docker-archive:headers.tar", "oci:to-headers");
    expect(await look("oci", at("to-headers"), "app:v1")).toEqual(whole(image));
  });
});
