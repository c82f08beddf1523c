import { digestOf, isDigest, type Digest } from "../digest.ts";
import { MAX_MANIFEST } from "../manifest.ts";
import { parseDockerManifest, type DockerManifestItem } from "./docker-manifest.ts";
import { quoted } from "../tar/entry-path.ts";
import type { ArchiveFiles } from "../archive/archive-files.ts";
import { InvalidImage } from "../invalid-image.ts";
import { MAX_CONFIG, parseConfig, type ImageConfig } from "../config.ts";

/** An image of a docker archive, its config read and proven. */
export interface DockerImage extends ImageConfig {
  names: string[];
  config: Buffer;
  configDigest: Digest;
  /** Bottom first. */
  layers: { diffId: Digest; path: string }[];
}

/** The images that manifest.json names. Throws `InvalidImage`. */
export async function readDockerManifest(files: ArchiveFiles): Promise<DockerManifestItem[]> {
  return parseDockerManifest(await files.read("manifest.json", MAX_MANIFEST));
}

/** Reads an image's config. Throws `InvalidImage` when it is not what its name says, or has other layers than the manifest. */
export async function readDockerImage(files: ArchiveFiles, item: DockerManifestItem): Promise<DockerImage> {
  const config = await files.read(item.config, MAX_CONFIG);
  const configDigest = digestOf(config);
  const claimed = digestInName(item.config);
  if (claimed !== undefined && claimed !== configDigest) {
    throw new InvalidImage(`the config ${quoted(item.config)} has the digest ${configDigest}`);
  }
  const { diffIds, platform } = parseConfig(config);
  if (item.layers.length !== diffIds.length) {
    throw new InvalidImage(`manifest.json names ${item.layers.length} layers, the image's config ${diffIds.length}`);
  }
  const layers = diffIds.map((diffId, index) => ({ diffId, path: item.layers[index] ?? "" }));
  return { names: item.names, config, configDigest, diffIds, platform, layers };
}

/** The digest that a file's name claims: `HEX`, `HEX.json`, `HEX.tar` or `sha256:HEX`, as engines and builders name them. */
export function digestInName(path: string): Digest | undefined {
  const hex = /^(?:sha256:)?([0-9a-f]{64})(?:\.json|\.tar)?$/.exec(path.split("/").at(-1) ?? "")?.[1];
  const digest = `sha256:${hex}`;
  return isDigest(digest) ? digest : undefined;
}
