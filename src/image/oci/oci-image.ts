import { digestOf, type Digest } from "../digest.ts";
import {
  isIndex,
  MAX_MANIFEST,
  MEDIA_TYPE,
  parseManifest,
  type Descriptor,
  type Index,
  type Manifest,
} from "../manifest.ts";
import { InvalidImage, undefinedIfInvalid } from "../invalid-image.ts";
import { MAX_CONFIG, parseConfig, type ImageConfig } from "../config.ts";
import { isLayerType } from "../layer/compression.ts";
import { parseIndexFile, refuseFull, type IndexFile } from "./index-file.ts";
import { MAX_DEPTH, MAX_INDEX, MAX_INDEXES, MAX_MANIFESTS } from "../archive/limits.ts";
import { FileNotFound, type ArchiveFiles } from "../archive/archive-files.ts";
import { IMAGE_NAME, isIndexType, REF_NAME, blobPath } from "./oci-layout.ts";

/** A manifest that an OCI layout's index leads to. */
export interface OciEntry {
  /** Its own, or of the index that it was reached through: references, tags, or any other text. */
  names: string[];
  descriptor: Descriptor;
}

/** An image of an OCI layout, its manifest and config read and proven. */
export interface OciImage extends ImageConfig {
  names: string[];
  config: Buffer;
  configDigest: Digest;
  /** The descriptor without what this archive's index adds to it, such as names. */
  manifest: { bytes: Buffer; descriptor: Descriptor };
  /** Bottom first. */
  layers: { diffId: Digest; blob: Descriptor }[];
}

/** Annotations that name an image: containerd's, which has the whole reference, and the OCI image spec's. */
const NAME_ANNOTATIONS = [IMAGE_NAME, REF_NAME];
/** Bytes of an entry that we add to an index: its names have up to 255 each, and are in it twice. */
const LARGEST_ENTRY = 1024;
const IMAGE_CONFIG_TYPES = new Set<string>([MEDIA_TYPE.ociConfig, MEDIA_TYPE.dockerConfig]);

/**
 * The manifests that index.json leads to, through indexes within indexes (OCI image spec, image-layout.md, "index.json
 * file"), without attestations. An index cannot contain itself, because its digest is proven. Nothing is read but indexes. Throws
 * `InvalidImage`.
 *
 * @param willGrow there must be room for one more, else it throws `IndexFull`
 */
export async function listOciEntries(files: ArchiveFiles, { willGrow = false } = {}): Promise<OciEntry[]> {
  const found: OciEntry[] = [];
  let [seen, indexes] = [0, 0];
  const walk = async (
    manifests: readonly (Descriptor | undefined)[],
    inherited: string[],
    depth: number,
  ): Promise<void> => {
    if (depth > MAX_DEPTH) throw new InvalidImage(`it has more than ${MAX_DEPTH} indexes within each other`);
    // Counted here and not in what is found: indexes that lead to nothing take time as well.
    seen += manifests.length;
    if (seen > MAX_MANIFESTS) throw new InvalidImage(`its indexes name more than ${MAX_MANIFESTS} manifests`);
    for (const descriptor of manifests) {
      if (descriptor === undefined || isAttestation(descriptor)) continue;
      const own = namesOf(descriptor);
      const names = own.length > 0 ? own : inherited;
      if (!isIndexType(descriptor) || (await files.sizeOf(blobPath(descriptor.digest))) === undefined) {
        found.push({ names, descriptor });
        continue;
      }
      indexes += 1;
      if (indexes > MAX_INDEXES) throw new InvalidImage(`its indexes name more than ${MAX_INDEXES} indexes`);
      const nested = await undefinedIfInvalid(readManifest(files, descriptor));
      if (nested === undefined) found.push({ names, descriptor }); // whoever wants it hears what is wrong
      else await walk(indexOf(nested).manifests, names, depth + 1);
    }
  };
  await walk((await readIndexFile(files)).entries, [], 0);
  if (willGrow) refuseFull(seen + 1, ((await files.sizeOf("index.json")) ?? 0) + LARGEST_ENTRY);
  return found;
}

/** The index.json of a layout. Throws `InvalidImage`. */
export async function readIndexFile(files: ArchiveFiles): Promise<IndexFile> {
  return parseIndexFile(await files.read("index.json", MAX_INDEX));
}

/**
 * Reads an image's manifest and config; undefined for what is no image but another artifact (a signature, a chart, a build
 * cache; of a signature, the config may have the type of an image's), and for what is not there: of an image for many platforms, engines
 * save those that they have. Throws `InvalidImage` when they are not what was announced.
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

/** The same, of its manifest alone. */
export async function readImageManifest(
  files: ArchiveFiles,
  descriptor: Descriptor,
): Promise<{ bytes: Buffer; parsed: Manifest } | undefined> {
  const { bytes, parsed } = await readManifest(files, descriptor).catch((error: unknown) => {
    if (error instanceof FileNotFound) return { bytes: undefined, parsed: undefined };
    throw error;
  });
  if (parsed === undefined) return undefined;
  if (isIndex(parsed)) throw new InvalidImage(`${descriptor.digest} should be the manifest of one image`);
  return isImage(parsed) ? { bytes, parsed } : undefined;
}

function isImage({ config, layers }: Manifest): boolean {
  if (!IMAGE_CONFIG_TYPES.has(config.mediaType)) return false;
  return layers.length === 0 || layers.some(({ mediaType }) => isLayerType(mediaType));
}

function indexOf({ parsed }: { parsed: Manifest | Index }): Index {
  if (!isIndex(parsed)) throw new InvalidImage("its index is the manifest of one image");
  return parsed;
}

function pairLayers(diffIds: Digest[], { layers }: Manifest): OciImage["layers"] {
  if (layers.length !== diffIds.length) {
    throw new InvalidImage(`its manifest names ${layers.length} layers, its config ${diffIds.length}`);
  }
  return layers.map((blob, index) => ({ diffId: diffIds[index] ?? "", blob }));
}

async function readManifest(
  files: ArchiveFiles,
  descriptor: Descriptor,
): Promise<{ bytes: Buffer; parsed: Manifest | Index }> {
  const bytes = await readBlob(files, descriptor, MAX_MANIFEST);
  return { bytes, parsed: parseManifest(bytes) };
}

async function readBlob(files: ArchiveFiles, { digest, size }: Descriptor, limit: number): Promise<Buffer> {
  const bytes = await files.read(blobPath(digest), limit);
  if (bytes.length !== size) throw new InvalidImage(`${digest} has ${bytes.length} bytes, its descriptor says ${size}`);
  const found = digestOf(bytes);
  if (found !== digest) throw new InvalidImage(`${digest} has the digest ${found}`);
  return bytes;
}

function namesOf({ annotations = {} }: Descriptor): string[] {
  const names = NAME_ANNOTATIONS.map((key) => annotations[key]);
  return names.filter((name) => typeof name === "string");
}

/** Provenance and software lists that buildx puts beside an image (moby/buildkit docs/attestations/attestation-storage.md). */
function isAttestation({ platform, annotations }: Descriptor): boolean {
  return platform?.os === "unknown" || annotations?.["vnd.docker.reference.type"] !== undefined;
}
