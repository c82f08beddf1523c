import { digestOf, type Digest } from "../digest.ts";
import {
  InvalidImage,
  isIndex,
  MAX_CONFIG,
  MAX_MANIFEST,
  MEDIA_TYPE,
  parseConfig,
  parseManifest,
  type Descriptor,
  type ImageConfig,
  type Index,
  type Manifest,
} from "../manifest.ts";
import { MAX_DEPTH, MAX_MANIFESTS } from "./limits.ts";
import { blobPath, type Listing } from "./listing.ts";
import { IMAGE_NAME, isIndexType, REF_NAME } from "./oci-layout.ts";

/** A manifest that an OCI layout's index leads to. */
export interface OciEntry {
  /** Its own, or of the index that it was reached through: references, tags, or any other text. */
  names: string[];
  descriptor: Descriptor;
  /** Whether it is in the archive: of an image for many platforms, engines save those that they have. */
  isHere: boolean;
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
const IMAGE_CONFIG_TYPES = new Set<string>([MEDIA_TYPE.ociConfig, MEDIA_TYPE.dockerConfig]);

/**
 * The manifests that index.json leads to, through indexes within indexes (OCI image spec, image-layout.md, "index.json
 * file"), without attestations. An index cannot contain itself, because its digest is proven. Throws `InvalidImage`.
 */
export async function ociEntries(files: Listing): Promise<OciEntry[]> {
  const found: OciEntry[] = [];
  let seen = 0;
  const walk = async ({ manifests }: Index, inherited: string[], depth: number): Promise<void> => {
    if (depth > MAX_DEPTH) throw new InvalidImage(`it has more than ${MAX_DEPTH} indexes within each other`);
    for (const descriptor of manifests) {
      // Counted here and not in what is found: indexes that lead to nothing take time as well.
      seen += 1;
      if (seen > MAX_MANIFESTS) throw new InvalidImage(`its indexes name more than ${MAX_MANIFESTS} manifests`);
      if (isAttestation(descriptor)) continue;
      const own = namesOf(descriptor);
      const names = own.length > 0 ? own : inherited;
      const isHere = (await files.sizeOf(blobPath(descriptor.digest))) !== undefined;
      if (!isHere || !isIndexType(descriptor)) found.push({ names, descriptor, isHere });
      else await walk(indexOf(await readManifest(files, descriptor)), names, depth + 1);
    }
  };
  await walk(indexOf({ parsed: parseManifest(await files.read("index.json", MAX_MANIFEST)) }), [], 0);
  return found;
}

/**
 * Reads an image's manifest and config; undefined for what is no image but another artifact (a signature, a chart, a build
 * cache). Throws `InvalidImage` when they are not what was announced.
 */
export async function readOciImage(files: Listing, { names, descriptor }: OciEntry): Promise<OciImage | undefined> {
  const { bytes, parsed } = await readManifest(files, descriptor);
  if (isIndex(parsed)) throw new InvalidImage(`${descriptor.digest} should be the manifest of one image`);
  if (!IMAGE_CONFIG_TYPES.has(parsed.config.mediaType)) return undefined;
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
  files: Listing,
  descriptor: Descriptor,
): Promise<{ bytes: Buffer; parsed: Manifest | Index }> {
  const bytes = await readBlob(files, descriptor, MAX_MANIFEST);
  return { bytes, parsed: parseManifest(bytes) };
}

async function readBlob(files: Listing, { digest, size }: Descriptor, limit: number): Promise<Buffer> {
  const bytes = await files.read(blobPath(digest), limit);
  if (bytes.length !== size) throw new InvalidImage(`${digest} has ${bytes.length} bytes, announced were ${size}`);
  const found = digestOf(bytes);
  if (found !== digest) throw new InvalidImage(`${digest} is in truth ${found}`);
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
