import { digestOf, isDigest, type Digest } from "./digest.ts";
import { InvalidImage } from "./invalid-image.ts";
import { parseJsonObject } from "./parse-json.ts";
import type { Platform } from "./platform.ts";

/** Describes a blob (OCI image spec, descriptor.md). */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  /** Bytes. */
  size: number;
  platform?: Platform;
  annotations?: Record<string, string>;
  /** Other URLs of the blob. */
  urls?: string[];
}

/** One image: a config and its layers, bottom first. */
export interface Manifest {
  mediaType: string;
  config: Descriptor;
  layers: Descriptor[];
}

/** The manifest of one image, with its original bytes. */
export interface ImageManifest extends Manifest {
  bytes: Buffer;
}

/** Several manifests: one for each platform, and their attestations. */
export interface Index {
  mediaType: string;
  manifests: Descriptor[];
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

/** Bytes. The OCI spec asks registries to accept manifests of 4 MB; no tool writes larger ones. */
export const MAX_MANIFEST = 4 * 1024 * 1024;
/** Bounds the memory that a hostile list needs. Engines allow at most 127 layers on overlay2. */
export const MAX_LAYERS = 1000;

/** Parses a manifest or an index. Throws {@link InvalidImage}. */
export function parseManifest(bytes: Uint8Array): Manifest | Index {
  if (bytes.length > MAX_MANIFEST) throw new InvalidImage("its manifest is larger than 4 MB");
  const value = parseJsonObject(bytes, "manifest");
  const mediaType = typeof value.mediaType === "string" ? value.mediaType : undefined;
  if (Array.isArray(value.manifests)) {
    return { mediaType: mediaType ?? MEDIA_TYPE.ociIndex, manifests: parseDescriptors(value.manifests, "manifest") };
  }
  if (!Array.isArray(value.layers)) throw new InvalidImage("its manifest has neither layers nor manifests");
  return {
    mediaType: mediaType ?? MEDIA_TYPE.ociManifest,
    config: parseDescriptor(value.config, "config"),
    layers: parseDescriptors(value.layers, "layer"),
  };
}

/** Parses the manifest of one image and preserves its bytes. Throws {@link InvalidImage}, also for an index. */
export function parseImageManifest(bytes: Buffer): ImageManifest {
  const manifest = parseManifest(bytes);
  if (isIndex(manifest)) throw new InvalidImage("its manifest is an index");
  return { ...manifest, bytes };
}

export function isIndex(manifest: Manifest | Index): manifest is Index {
  return "manifests" in manifest;
}

/** The bytes of a manifest, and their descriptor. */
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

/** Adds the descriptor to the bytes of a received manifest. */
export function withDescriptor({ mediaType, bytes }: Pick<ImageManifest, "mediaType" | "bytes">): EncodedManifest {
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
}

function parseDescriptors(values: unknown[], what: string): Descriptor[] {
  if (values.length > MAX_LAYERS) throw new InvalidImage(`it has more than ${MAX_LAYERS} ${what}s`);
  return values.map((value) => parseDescriptor(value, what));
}

/** Checks a descriptor in parsed JSON. `what` names the blob in messages: "layer". Throws {@link InvalidImage}. */
export function parseDescriptor(value: unknown, what: string): Descriptor {
  const { mediaType, digest, size, platform, annotations, urls } = (value ?? {}) as Partial<Descriptor>;
  const sizeIsValid = typeof size === "number" && Number.isSafeInteger(size) && size >= 0;
  if (typeof mediaType !== "string" || !isDigest(digest) || !sizeIsValid) {
    throw new InvalidImage(`the descriptor of its ${what} is malformed`);
  }
  return {
    mediaType,
    digest,
    size,
    // These properties are only shown to people. A malformed value counts as missing, and is no reason to refuse an image.
    ...(isPlatform(platform) && { platform }),
    ...(isStringRecord(annotations) && { annotations }),
    ...(Array.isArray(urls) && urls.every((url) => typeof url === "string") && { urls }),
  };
}

function isPlatform(value: unknown): value is Platform {
  if (typeof value !== "object" || value === null) return false;
  const { os, architecture, variant = "" } = value as Record<string, unknown>;
  return [os, architecture, variant].every((part) => typeof part === "string" && /^[\w.]*$/.test(part));
}

function isStringRecord(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && Object.values(value).every((text) => typeof text === "string");
}
