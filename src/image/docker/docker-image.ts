import type { ArchiveFiles } from "../archive/archive-files.ts";
import { MAX_CONFIG, parseConfig, type ImageConfig } from "../config.ts";
import { digestOf, isDigest, type Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { MAX_MANIFEST } from "../manifest.ts";
import { quoted } from "../tar/entry-path.ts";
import { parseDockerManifest, type DockerManifestItem } from "./docker-manifest.ts";

/** An image of a docker archive, with its verified config. */
export interface DockerImage extends ImageConfig {
  names: string[];
  config: Buffer;
  configDigest: Digest;
  /** Bottom first. */
  layers: { diffId: Digest; path: string }[];
}

/** Reads the images that manifest.json names. Throws `InvalidImage`. */
export async function readDockerManifest(files: ArchiveFiles): Promise<DockerManifestItem[]> {
  return parseDockerManifest(await files.read("manifest.json", MAX_MANIFEST));
}

/** Reads an image's config. Throws `InvalidImage` if the config contradicts its file name or the manifest's number of layers. */
export async function readDockerImage(files: ArchiveFiles, item: DockerManifestItem): Promise<DockerImage> {
  const config = await files.read(item.config, MAX_CONFIG);
  const configDigest = digestOf(config);
  const expected = digestInName(item.config);
  if (expected !== undefined && expected !== configDigest) {
    throw new InvalidImage(`the config ${quoted(item.config)} has the digest ${configDigest}`);
  }
  const { diffIds, platform } = parseConfig(config);
  if (item.layers.length !== diffIds.length) {
    throw new InvalidImage(`manifest.json names ${item.layers.length} layers, the image's config ${diffIds.length}`);
  }
  const layers = diffIds.map((diffId, index) => ({ diffId, path: item.layers[index] ?? "" }));
  return { names: item.names, config, configDigest, diffIds, platform, layers };
}

/** Returns the digest in a file name of an engine or a build tool: `HEX`, `HEX.json`, `HEX.tar` or `sha256:HEX`. */
export function digestInName(path: string): Digest | undefined {
  const hex = /^(?:sha256:)?([0-9a-f]{64})(?:\.json|\.tar)?$/.exec(path.split("/").at(-1) ?? "")?.[1];
  const digest = `sha256:${hex}`;
  return isDigest(digest) ? digest : undefined;
}
