import { join } from "node:path";
import { promisify } from "node:util";
import { execFile } from "node:child_process";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { openArchive } from "../../../../src/image/open/open-archive.ts";
import { digestOf, hexOf } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../../src/image/manifest.ts";
import { file, folder, unpack } from "../archive/files.ts";
import { dockerManifest, gzipped, makeImage, plain, saveLegacy, saveOci, savePodman } from "../make-image.ts";
import { read } from "./saved-image.ts";
import { makeTar, type TestEntry } from "../tar/make-tar.ts";
import { isWhole } from "../whole-image.ts";
import { AMD64 } from "../platforms.ts";

const image = await makeImage([3000, 70_000, 200, 70_000, 9000]);
const legacy = await saveLegacy(image);
const podman = await savePodman(image);

describe("a docker archive on disk", () => {
  const renamed = (packed: (layer: Buffer) => Buffer): TestEntry[] => [
    { name: "./config", content: image.config },
    ...image.layers.slice(0, 3).map((layer, at) => ({ name: `./${at}.tar.gz`, content: packed(layer) })),
    { name: "./4.tar.gz", content: packed(image.layers[4] ?? Buffer.alloc(0)) },
    { name: "./3.tar.gz", type: "link", linkname: "./1.tar.gz" },
    dockerManifest(
      "config",
      [0, 1, 2, 3, 4].map((at) => `${at}.tar.gz`),
    ),
  ];
  const table: [string, TestEntry[], (layer: Buffer) => Buffer, string][] = [
    ["Docker 20.10", legacy, (layer) => layer, MEDIA_TYPE.ociLayer],
    ["Docker 25, graph driver", saveOci(image, plain), (layer) => layer, MEDIA_TYPE.ociLayer],
    ["containerd store", saveOci(image, gzipped), gzipSync, MEDIA_TYPE.ociLayerGzip],
    ["Podman", podman, (layer) => layer, MEDIA_TYPE.ociLayer],
    ["a build tool, with gzip and a hard link", renamed(gzipSync), gzipSync, MEDIA_TYPE.ociLayerGzip],
  ];
  test.each(table)("%s", async (_name, entries, stored, mediaType) => {
    await using archive = await openArchive("docker-archive", await file(await makeTar(entries)));
    const found = await archive.find();
    expect(await isWhole(found, image, stored)).toBe(true);
    expect(found.platform).toEqual(AMD64);
    expect(found.layers.map(({ blob }) => blob.mediaType)).toEqual(image.layers.map(() => mediaType));
    const isDigestKnown = mediaType === MEDIA_TYPE.ociLayer || entries.some(({ name }) => name === "index.json");
    for (const { blob } of found.layers) expect(blob.digest !== undefined).toBe(isDigestKnown);
  });

  test("may have a config that is a link to another file", async () => {
    const names = image.diffIds.map((diffId) => `${hexOf(diffId)}.tar`);
    const entries = podman.filter(({ name }) => name !== "manifest.json");
    const tar = await makeTar([
      ...entries,
      { name: "config", type: "symlink", linkname: `./${hexOf(digestOf(image.config))}.json` },
      dockerManifest("config", names),
    ]);
    await using archive = await openArchive("docker-archive", await file(tar));
    expect((await archive.find()).config).toEqual(image.config);
    expect((await read(tar, image)).config).toEqual(image.config);
  });

  test("may have names that are longer than the header field", async () => {
    const long = `${"folder/".repeat(40)}é`;
    const entries = [
      { name: long, content: image.config },
      ...(await savePodman(image)).filter(({ name }) => name !== "manifest.json"),
    ];
    const names = image.diffIds.map((diffId) => `${hexOf(diffId)}.tar`);
    await using archive = await openArchive(
      "docker-archive",
      await file(await makeTar([...entries, dockerManifest(long, names)])),
    );
    expect((await archive.find()).config).toEqual(image.config);
  });

  test("is opened as tar(1) writes it", async () => {
    const from = await unpack((await savePodman(image)).filter(({ type }) => type !== "symlink"));
    for (const format of ["pax", "ustar"]) {
      const path = join(folder, `${format}.tar`);
      await promisify(execFile)("tar", ["--format", format, "-C", from, "-cf", path, "."]);
      await using archive = await openArchive("docker-archive", path);
      expect(await isWhole(await archive.find(), image, (layer) => layer)).toBe(true);
    }
  });
});
