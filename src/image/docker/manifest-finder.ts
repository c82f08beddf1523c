import { parseConfig } from "../config.ts";
import { digestOf, type Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { isIndex, parseManifest, type Descriptor, type Manifest } from "../manifest.ts";
import { digestInName } from "./docker-image.ts";

/** Finds an image's manifest among the blobs of a streamed OCI layout, before the index that names it arrives. */
export interface ManifestFinder {
  /**
   * Adds a blob that may be a manifest or a config.
   * @returns the layers, bottom first, of each manifest that this blob identifies as the image's
   */
  addBlob(path: string, content: Uint8Array): Descriptor[][];
}

/**
 * Finds the manifest of the image with the layers `diffIds`: the diff IDs identify the config, and the config's digest identifies the
 * manifest. They may arrive in any order. Engines write blobs in the order of their digests, so on average, both have arrived after two
 * thirds of the archive.
 */
export function manifestFinder(diffIds: readonly Digest[]): ManifestFinder {
  const configs = new Set<Digest>();
  /** Layers of manifests whose config has not arrived, by the config's digest. */
  const pending = new Map<Digest, Descriptor[][]>();
  return {
    addBlob(path, content) {
      const digest = digestInName(path);
      if (digest === undefined || digestOf(content) !== digest) return []; // reading the image reports the damage
      if (isConfigOf(content, diffIds)) {
        configs.add(digest);
        const found = pending.get(digest) ?? [];
        pending.delete(digest);
        return found;
      }
      const manifest = imageManifestIn(content);
      if (manifest?.layers.length !== diffIds.length) return [];
      const { config, layers } = manifest;
      if (configs.has(config.digest)) return [layers];
      const others = pending.get(config.digest);
      if (others === undefined) pending.set(config.digest, [layers]);
      else others.push(layers);
      return [];
    },
  };
}

function isConfigOf(content: Uint8Array, diffIds: readonly Digest[]): boolean {
  const config = tryParse(() => parseConfig(content));
  return config?.diffIds.join() === diffIds.join();
}

function imageManifestIn(content: Uint8Array): Manifest | undefined {
  const manifest = tryParse(() => parseManifest(content));
  return manifest === undefined || isIndex(manifest) ? undefined : manifest;
}

function tryParse<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof InvalidImage) return undefined;
    throw error;
  }
}
