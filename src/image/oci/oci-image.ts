import { FileNotFound, type ArchiveFiles } from "../archive/archive-files.ts";
import { MAX_CONFIG, parseConfig, type ImageConfig } from "../config.ts";
import type { Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { isLayerType } from "../layer/compression.ts";
import { isIndex, MEDIA_TYPE, type Descriptor, type Manifest } from "../manifest.ts";
import type { OciEntry } from "./oci-entries.ts";
import { readBlob, readLayoutManifest } from "./read-blob.ts";

/** An image of an OCI layout, with its verified manifest and config. */
export interface OciImage extends ImageConfig {
  names: string[];
  config: Buffer;
  configDigest: Digest;
  /** The descriptor does not contain the annotations of the index, such as names. */
  manifest: { bytes: Buffer; descriptor: Descriptor };
  /** Bottom first. */
  layers: { diffId: Digest; blob: Descriptor }[];
}

const IMAGE_CONFIG_TYPES = new Set<string>([MEDIA_TYPE.ociConfig, MEDIA_TYPE.dockerConfig]);

/**
 * Reads an image's manifest and config. Returns undefined for another artifact (a signature, a chart, a build cache; a signature's config
 * may have an image's media type), and for a missing manifest, because engines save only the variants that they have. Throws
 * `InvalidImage`.
 */
export async function readOciImage(
  files: ArchiveFiles,
  { names, descriptor }: OciEntry,
): Promise<OciImage | undefined> {
  const manifest = await readImageManifest(files, descriptor);
  if (manifest === undefined) return undefined;
  const { bytes, parsed } = manifest;
  const config = await readBlob(files, parsed.config, MAX_CONFIG);
  const { diffIds, platform } = parseConfig(config);
  return {
    names,
    config,
    configDigest: parsed.config.digest,
    diffIds,
    platform,
    manifest: {
      bytes,
      descriptor: { mediaType: descriptor.mediaType, digest: descriptor.digest, size: descriptor.size },
    },
    layers: pairLayers(diffIds, parsed),
  };
}

/** Reads only an image's manifest. Returns undefined and throws in the same cases as {@link readOciImage}. */
export async function readImageManifest(
  files: ArchiveFiles,
  descriptor: Descriptor,
): Promise<{ bytes: Buffer; parsed: Manifest } | undefined> {
  const manifest = await readLayoutManifest(files, descriptor).catch((error: unknown) => {
    if (error instanceof FileNotFound) return undefined;
    throw error;
  });
  if (manifest === undefined) return undefined;
  const { bytes, parsed } = manifest;
  if (isIndex(parsed)) throw new InvalidImage(`${descriptor.digest} should be the manifest of one image`);
  return isImage(parsed) ? { bytes, parsed } : undefined;
}

function isImage({ config, layers }: Manifest): boolean {
  if (!IMAGE_CONFIG_TYPES.has(config.mediaType)) return false;
  return layers.length === 0 || layers.some(({ mediaType }) => isLayerType(mediaType));
}

function pairLayers(diffIds: Digest[], { layers }: Manifest): OciImage["layers"] {
  if (layers.length !== diffIds.length) {
    throw new InvalidImage(`its manifest names ${layers.length} layers, its config ${diffIds.length}`);
  }
  return layers.map((blob, index) => ({ diffId: diffIds[index] ?? "", blob }));
}
