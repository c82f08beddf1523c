import type { PartialBase } from "../archive/image-archive.ts";
import { isDigest, type Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { isLayerType } from "../layer/compression.ts";
import { MAX_LAYERS, parseDescriptor, type Descriptor } from "../manifest.ts";
import { parseBoundedJson } from "../parse-json.ts";
import { tryReference } from "../reference.ts";

/**
 * The file that describes the image of a partial archive. The archive has no index.json, oci-layout or manifest.json, so other programs
 * cannot mistake it for a complete image (docs/air-gap.md).
 */
export const PARTIAL_FILE = "docker-over-ssh-partial.json";
const FORMAT = "docker-over-ssh/partial";
const VERSION = 1;

/** The maximum size of {@link PARTIAL_FILE} in bytes. Each layer needs some 300. */
export const MAX_PARTIAL_FILE = 1024 * 1024;
const LIMITS = { depth: 4, values: 16_384 };
const MAX_NAMES = 100;
/** The maximum size of a layer's plain tar in bytes, which is that of messages. */
const MAX_SIZE = 2 ** 50;

/** Thrown for a partial archive of another version of the format. The message names the version. */
export class OtherPartialVersion extends InvalidImage {}

/** An image without the layers that the receiving engine has. */
export interface PartialImage {
  /** References with a tag. */
  names: readonly string[];
  config: Digest;
  /** The time when the have list of that engine was written, in ISO 8601. */
  listed: string;
  /** The delta base of all layers by delta. */
  base?: PartialBase | undefined;
  /** Bottom first. */
  layers: readonly PartialLayer[];
}

export type PartialLayer = { diffId: Digest } & (
  | { way: "present" }
  | { way: "whole"; blob: Descriptor }
  /** `blob`: a delta (rebuild/delta-blob.ts). `size`: bytes of the layer's plain tar. */
  | { way: "by-delta"; blob: Descriptor; size: number }
);

/** The media type of a layer by delta. */
export const DELTA_TYPE = "application/vnd.docker-over-ssh.layer.v1.delta";

/** Serialises the file. */
export function writePartialImage(image: PartialImage): Buffer {
  return Buffer.from(JSON.stringify({ format: FORMAT, version: VERSION, ...image }));
}

/** Parses the file, which is hostile input. Throws {@link InvalidImage}. */
export function parsePartialImage(bytes: Buffer): PartialImage {
  const value = parseBoundedJson(bytes, PARTIAL_FILE, LIMITS) as Record<string, unknown> | null;
  const { format, version, names, config, listed, base, layers } = value ?? {};
  if (format !== FORMAT) throw malformed("format");
  if (version !== VERSION) {
    throw new OtherPartialVersion(
      `a partial archive of version ${typeof version === "number" ? version : "?"}, but this program reads version ${VERSION}`,
    );
  }
  if (!Array.isArray(names) || names.length > MAX_NAMES || !names.every(isTagged)) throw malformed("names");
  if (!isDigest(config)) throw malformed("config");
  if (typeof listed !== "string" || Number.isNaN(Date.parse(listed))) throw malformed("time");
  if (!Array.isArray(layers) || layers.length > MAX_LAYERS) throw malformed("layers");
  return {
    names,
    config,
    listed: new Date(listed).toISOString(),
    ...(base !== undefined && { base: parseBase(base) }),
    layers: layers.map(parseLayer),
  };
}

function parseBase(value: unknown): PartialBase {
  const { name, chainId } = (value ?? {}) as Record<string, unknown>;
  if (!isName(name) || !isDigest(chainId)) throw malformed("base");
  return { name, chainId };
}

function parseLayer(value: unknown): PartialLayer {
  const { diffId, way, blob, size } = (value ?? {}) as Record<string, unknown>;
  if (!isDigest(diffId)) throw malformed("layers");
  if (way === "present") return { diffId, way };
  const descriptor = parseDescriptor(blob, "layer");
  if (way === "whole" && isLayerType(descriptor.mediaType)) return { diffId, way, blob: descriptor };
  const isSize = typeof size === "number" && Number.isSafeInteger(size) && size >= 0 && size <= MAX_SIZE;
  if (way !== "by-delta" || descriptor.mediaType !== DELTA_TYPE || !isSize) throw malformed("layers");
  return { diffId, way, blob: descriptor, size };
}

function isName(value: unknown): value is string {
  return typeof value === "string" && tryReference(value) !== undefined;
}

function isTagged(value: unknown): value is string {
  return isName(value) && !value.includes("@");
}

function malformed(part: string): InvalidImage {
  return new InvalidImage(`the ${part} in its ${PARTIAL_FILE} are malformed`);
}
