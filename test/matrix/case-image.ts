import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { makeContent } from "../testbed/content.ts";
import { baseFiles, folderEntry } from "../testbed/program-files.ts";
import { fileEntry, tar, type TarEntry } from "../testbed/tar.ts";

/** A layer as an uncompressed tar, and as a registry stores it. */
export interface Layer {
  diffId: string;
  plain: Buffer;
  /** Compresses the tar with level 6, as engines do. Cached. */
  gzip(): Buffer;
}

export interface Image {
  /** A reference, e.g. `28.5-to-20.10-empty:v2`. */
  name: string;
  config: Buffer;
  configDigest: string;
  /** The bottom layer first. */
  layers: Layer[];
}

/** The images of one case. They share no layer with other cases, whose layers may be left over in a store. */
export interface CaseImages {
  /** The older version: three layers of the base, and one of its own. */
  v1: Image;
  /** The sent image: the same base, two layers of its own. */
  v2: Image;
  /** The layers of v1 on another bottom layer, so that the diff IDs are the same and the chain IDs differ. */
  restacked: Image;
  /** The layers of v2 above the base. */
  added: Layer[];
  /** The output of `docker run` of v2. */
  prints: string;
}

/** @param repository also the seed of all layers. At most some 40 bytes, because it is also a path in a tar */
export async function caseImages(repository: string): Promise<CaseImages> {
  const base = [
    makeLayer([...(await baseFiles()), seed("etc", repository)]),
    makeLayer([folderEntry("libraries"), ...libraries, seed("libraries", repository)]),
    makeLayer([folderEntry("modules"), ...modules, seed("modules", repository)]),
  ];
  const program = (tag: string): Layer => {
    const greeting = `#!/bin/sh\necho ${repository} ${tag}\n`;
    const start = `${greeting}if [ -e /libraries/0 ]; then echo a deleted file is back; fi\n`;
    return makeLayer([folderEntry("app"), fileEntry("app/start", start, 0o755)]);
  };
  const old = program("v1");
  const added = [
    // Deletes a file of the base, as a Dockerfile's `RUN rm` does (OCI image spec, "Whiteouts").
    makeLayer([fileEntry("libraries/.wh.0", ""), folderEntry("update"), ...update, seed("update", repository)]),
    program("v2"),
  ];
  const other = makeLayer([folderEntry("other"), seed("other", repository)]);
  return {
    v1: makeImage(`${repository}:v1`, [...base, old]),
    v2: makeImage(`${repository}:v2`, [...base, ...added]),
    restacked: makeImage(`${repository}:restacked`, [other, ...base, old]),
    added,
    prints: `${repository} v2`,
  };
}

/** Returns the image under another name. */
export function renamed(image: Image, name: string): Image {
  return { ...image, name };
}

/** Writes a docker archive in the simplest form, which every engine accepts. */
export function dockerArchive(image: Image): Buffer {
  const layerFile = ({ diffId }: Layer): string => `${hex(diffId)}.tar`;
  const configFile = `${hex(image.configDigest)}.json`;
  const manifest = [{ Config: configFile, RepoTags: [image.name], Layers: image.layers.map(layerFile) }];
  const files = [
    fileEntry("manifest.json", JSON.stringify(manifest)),
    fileEntry(configFile, image.config),
    ...image.layers.map((layer) => fileEntry(layerFile(layer), layer.plain)),
  ];
  return Buffer.concat([...tar(files)]);
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function makeImage(name: string, layers: Layer[]): Image {
  const created = "2026-01-02T03:04:05.678Z";
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      created,
      config: { Env: ["PATH=/bin"], Cmd: ["/app/start"] },
      rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
      history: layers.map((_, index) => ({ created, created_by: `step ${index + 1}` })),
    }),
  );
  return { name, config, configDigest: sha256(config), layers };
}

function makeLayer(entries: TarEntry[]): Layer {
  const plain = Buffer.concat([...tar(entries)]);
  let gzipped: Buffer | undefined;
  return { diffId: sha256(plain), plain, gzip: () => (gzipped ??= gzipSync(plain, { level: 6 })) };
}

/** A small file that makes a layer unique. */
function seed(folder: string, repository: string): TarEntry {
  return fileEntry(`${folder}/seed`, repository);
}

/** Generates files of random bytes and of text, once for all cases. */
function files(folder: string, count: number, size: number): TarEntry[] {
  return Array.from({ length: count }, (_, index) => {
    const path = `${folder}/${index}`;
    return fileEntry(path, Buffer.concat([...makeContent(index % 4 === 0 ? "random" : "text", size, path)]));
  });
}

const libraries = files("libraries", 8, 200_000);
const modules = files("modules", 100, 8000);
const update = files("update", 40, 20_000);

function hex(digest: string): string {
  return digest.slice("sha256:".length);
}
