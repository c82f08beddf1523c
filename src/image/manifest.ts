import { digestOf, isDigest, type Digest } from "./digest.ts";
import { formatPlatform } from "./platform.ts";

/** What a manifest says of a blob (OCI image spec, descriptor.md). */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  /** Bytes. */
  size: number;
  platform?: { os: string; architecture: string; variant?: string };
  annotations?: Record<string, string>;
  /** Where else it is to be had. */
  urls?: string[];
}

/** One image: a config and its layers, bottom first. */
export interface Manifest {
  mediaType: string;
  config: Descriptor;
  layers: Descriptor[];
}

/** One that somebody else wrote. */
export interface ImageManifest extends Manifest {
  /** As it came. */
  bytes: Buffer;
}

/** Several manifests: one for each platform, and what comes with them (attestations). */
export interface Index {
  mediaType: string;
  manifests: Descriptor[];
}

/** What an image's config says (OCI image spec, config.md), as far as a transfer needs it. */
export interface ImageConfig {
  diffIds: Digest[];
  /** `os/architecture[/variant]`, `unknown` for what the config leaves out ({@link formatPlatform}). */
  platform: string;
}

/** Not what it should be. The message says what is wrong. */
export class InvalidImage extends Error {
  override readonly name = "InvalidImage";
}

export const MEDIA_TYPE = {
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
} as const;

/** The OCI spec asks registries to take manifests of 4 MB; nobody writes larger ones. Bytes. */
export const MAX_MANIFEST = 4 * 1024 * 1024;
/** Bytes. Docker's own limit for a config is 8 MB on a containerd store. */
export const MAX_CONFIG = 8 * 1024 * 1024;
/** Engines stop at 127 layers on overlay2; this only keeps a hostile list from filling the memory. */
export const MAX_LAYERS = 1000;

/** Reads a manifest or an index. Throws {@link InvalidImage}. */
export function parseManifest(bytes: Uint8Array): Manifest | Index {
  if (bytes.length > MAX_MANIFEST) throw new InvalidImage("its manifest is larger than 4 MB");
  const value = parseObject(bytes, "manifest");
  const mediaType = typeof value.mediaType === "string" ? value.mediaType : undefined;
  if (Array.isArray(value.manifests)) {
    return { mediaType: mediaType ?? MEDIA_TYPE.ociIndex, manifests: descriptors(value.manifests, "manifest") };
  }
  if (!Array.isArray(value.layers)) throw new InvalidImage("its manifest has neither layers nor manifests");
  return {
    mediaType: mediaType ?? MEDIA_TYPE.ociManifest,
    config: readDescriptor(value.config, "config"),
    layers: descriptors(value.layers, "layer"),
  };
}

/** Reads the manifest of one image, as somebody wrote it. Throws {@link InvalidImage}, also for an index. */
export function parseImageManifest(bytes: Buffer): ImageManifest {
  const manifest = parseManifest(bytes);
  if (isIndex(manifest)) throw new InvalidImage("its manifest is an index");
  return { ...manifest, bytes };
}

export function isIndex(manifest: Manifest | Index): manifest is Index {
  return "manifests" in manifest;
}

/** Reads an image's config. Throws {@link InvalidImage}. */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  if (bytes.length > MAX_CONFIG) throw new InvalidImage("its config is larger than 8 MB");
  const { os, architecture, variant, rootfs } = parseObject(bytes, "config");
  const diffIds = (rootfs as { diff_ids?: unknown } | undefined)?.diff_ids ?? [];
  if (!Array.isArray(diffIds) || diffIds.length > MAX_LAYERS || !diffIds.every(isDigest)) {
    throw new InvalidImage("its config has no list of layers");
  }
  const [named, machine, kind] = [os, architecture, variant].map((part) => part ?? "");
  if (!isPlatformPart(named) || !isPlatformPart(machine) || !isPlatformPart(kind)) {
    throw new InvalidImage("its config names a platform that is none");
  }
  return { diffIds, platform: formatPlatform({ os: named, architecture: machine, variant: kind }) };
}

function isPlatformPart(part: unknown): part is string {
  return typeof part === "string" && /^[a-z0-9_.]*$/.test(part);
}

/** For each step of an image's history, first one first, whether it made a layer. Nothing for a config that has no history. */
export function historyStepsWithLayer(config: Uint8Array): boolean[] {
  const { history } = parseObject(config, "config");
  if (!Array.isArray(history)) return [];
  return history.map((step) => (step as { empty_layer?: unknown } | null)?.empty_layer !== true);
}

/** A manifest as bytes, and what describes it. */
export interface EncodedManifest {
  bytes: Buffer;
  descriptor: Descriptor;
}

export function encodeManifest(manifest: Manifest): EncodedManifest {
  return withDescriptor({
    mediaType: manifest.mediaType,
    bytes: Buffer.from(JSON.stringify({ schemaVersion: 2, ...manifest })),
  });
}

/** One that somebody else wrote, byte for byte. */
export function withDescriptor({ mediaType, bytes }: Pick<ImageManifest, "mediaType" | "bytes">): EncodedManifest {
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
}

function parseObject(bytes: Uint8Array, what: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // falls through
  }
  throw new InvalidImage(`its ${what} is not JSON`);
}

function descriptors(values: unknown[], what: string): Descriptor[] {
  if (values.length > MAX_LAYERS) throw new InvalidImage(`it has more than ${MAX_LAYERS} ${what}s`);
  return values.map((value) => readDescriptor(value, what));
}

/** Reads a descriptor out of parsed JSON. Throws {@link InvalidImage}. `what` it is of, for messages. */
export function readDescriptor(value: unknown, what: string): Descriptor {
  const { mediaType, digest, size, platform, annotations, urls } = (value ?? {}) as Partial<Descriptor>;
  const sizeIsRight = typeof size === "number" && Number.isSafeInteger(size) && size >= 0;
  if (typeof mediaType !== "string" || !isDigest(digest) || !sizeIsRight) {
    throw new InvalidImage(`the descriptor of its ${what} is malformed`);
  }
  return {
    mediaType,
    digest,
    size,
    // These may be shown to people and are no reason to refuse an image: what is malformed is as good as not there.
    ...(isPlatform(platform) && { platform }),
    ...(isTexts(annotations) && { annotations }),
    ...(Array.isArray(urls) && urls.every((url) => typeof url === "string") && { urls }),
  };
}

function isPlatform(value: unknown): value is NonNullable<Descriptor["platform"]> {
  if (typeof value !== "object" || value === null) return false;
  const { os, architecture, variant = "" } = value as Record<string, unknown>;
  return [os, architecture, variant].every((part) => typeof part === "string" && /^[\w.]*$/.test(part));
}

function isTexts(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && Object.values(value).every((text) => typeof text === "string");
}
