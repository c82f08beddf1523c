import { isDigest, type Digest } from "./digest.ts";
import { InvalidImage } from "./invalid-image.ts";
import { MAX_LAYERS } from "./manifest.ts";
import { parseJsonObject } from "./parse-json.ts";
import { platformOf, type Platform } from "./platform.ts";

/** The fields of an image's config that a transfer needs (OCI image spec, config.md). */
export interface ImageConfig {
  diffIds: Digest[];
  /** Missing parts are `unknown` ({@link platformOf}). */
  platform: Platform;
}

/** Bytes. Docker's own limit for a config in a containerd store is 8 MB. */
export const MAX_CONFIG = 8 * 1024 * 1024;

/** Parses an image's config. Throws {@link InvalidImage}. */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  if (bytes.length > MAX_CONFIG) throw new InvalidImage("its config is larger than 8 MB");
  const { os, architecture, variant, rootfs } = parseJsonObject(bytes, "config");
  const diffIds = (rootfs as { diff_ids?: unknown } | undefined)?.diff_ids ?? [];
  if (!Array.isArray(diffIds) || diffIds.length > MAX_LAYERS || !diffIds.every(isDigest)) {
    throw new InvalidImage("its config has no list of layers");
  }
  return {
    diffIds,
    platform: platformOf({ os: part(os), architecture: part(architecture), variant: part(variant) }),
  };
}

/** Returns one part of the config's platform, "" for a missing part. */
function part(value: unknown): string {
  const text = value ?? "";
  if (typeof text === "string" && /^[a-z0-9_.]*$/.test(text)) return text;
  throw new InvalidImage("its config names an invalid platform");
}

/** Returns for each step of an image's history, oldest first, whether it created a layer. Empty for a config without a history. */
export function historyStepsWithLayer(config: Uint8Array): boolean[] {
  const { history } = parseJsonObject(config, "config");
  if (!Array.isArray(history)) return [];
  return history.map((step) => (step as { empty_layer?: unknown } | null)?.empty_layer !== true);
}
