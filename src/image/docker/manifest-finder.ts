import { digestOf, type Digest } from "../digest.ts";
import { isIndex, parseManifest, type Descriptor } from "../manifest.ts";
import { digestInName } from "./docker-image.ts";
import { InvalidImage } from "../invalid-image.ts";
import { parseConfig } from "../config.ts";

/** Finds out which blobs are an image's layers while an OCI layout passes, before the index that leads to its manifest. */
export interface ManifestFinder {
  /** Takes a blob that may be a manifest or a config. @returns the layers, bottom first, of each manifest that is known to be the image's now */
  addBlob(path: string, content: Uint8Array): Descriptor[][];
}

/**
 * For the image with the layers `diffIds`. Its config is known by them, its manifest by the config's digest; either may come
 * first. Engines write blobs in the order of their digests, so that both have passed when two thirds of the archive have, on average.
 */
export function manifestFinder(diffIds: readonly Digest[]): ManifestFinder {
  const configs = new Set<Digest>();
  /** By the digest of a config that has not passed. */
  const waiting = new Map<Digest, Descriptor[][]>();
  return {
    addBlob(path, content) {
      const digest = digestInName(path);
      if (digest === undefined || digestOf(content) !== digest) return []; // whoever needs it says what is wrong
      if (isConfigOf(content, diffIds)) {
        configs.add(digest);
        const layers = waiting.get(digest) ?? [];
        waiting.delete(digest);
        return layers;
      }
      const manifest = manifestIn(content);
      if (manifest?.layers.length !== diffIds.length) return [];
      const { config, layers } = manifest;
      if (configs.has(config.digest)) return [layers];
      const others = waiting.get(config.digest);
      if (others === undefined) waiting.set(config.digest, [layers]);
      else others.push(layers);
      return [];
    },
  };
}

function isConfigOf(content: Uint8Array, diffIds: readonly Digest[]): boolean {
  const config = unlessInvalid(() => parseConfig(content));
  return config?.diffIds.join() === diffIds.join();
}

function manifestIn(content: Uint8Array) {
  const manifest = unlessInvalid(() => parseManifest(content));
  return manifest === undefined || isIndex(manifest) ? undefined : manifest;
}

function unlessInvalid<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof InvalidImage) return undefined;
    throw error;
  }
}
