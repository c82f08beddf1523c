import { MAX_IMAGES } from "../archive/limits.ts";
import { InvalidImage } from "../invalid-image.ts";
import { MAX_LAYERS, MAX_MANIFEST } from "../manifest.ts";
import { normalisedPath } from "../tar/entry-path.ts";

/** An image in a docker archive's manifest.json (moby image/spec/v1.2, "Combined Image JSON + Filesystem Changeset Format"). */
export interface DockerManifestItem {
  /** Path of the config. */
  config: string;
  /** References as written, usually `name:tag`. */
  names: string[];
  /** Paths of the layers, bottom first: one for each diff ID of the config. */
  layers: string[];
}

/** Parses manifest.json. Throws `InvalidImage`. */
export function parseDockerManifest(bytes: Uint8Array): DockerManifestItem[] {
  if (bytes.length > MAX_MANIFEST) throw new InvalidImage("its manifest.json is larger than 4 MB");
  let items: unknown;
  try {
    items = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    throw new InvalidImage("its manifest.json is not JSON");
  }
  if (!Array.isArray(items)) throw new InvalidImage("its manifest.json is not a list of images");
  if (items.length > MAX_IMAGES) throw new InvalidImage(`it has more than ${MAX_IMAGES} images`);
  return items.map(parseItem);
}

function parseItem(item: unknown): DockerManifestItem {
  const { Config: config, RepoTags: names, Layers: layers } = (item ?? {}) as Record<string, unknown>;
  if (typeof config !== "string" || !isStringArray(names ?? []) || !isStringArray(layers ?? [])) {
    throw new InvalidImage("its manifest.json has an image without config or layers");
  }
  const paths = (layers ?? []) as string[];
  if (paths.length > MAX_LAYERS) throw new InvalidImage(`it has more than ${MAX_LAYERS} layers`);
  return { config: normalisedPath(config), names: (names ?? []) as string[], layers: paths.map(normalisedPath) };
}

function isStringArray(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((text) => typeof text === "string");
}
