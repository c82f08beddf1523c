import { isAttestation } from "./attestation.ts";
import { InvalidImage } from "./invalid-image.ts";
import {
  isIndex,
  MAX_LAYERS,
  parseImageManifest,
  parseManifest,
  withDescriptor,
  type Descriptor,
  type EncodedManifest,
} from "./manifest.ts";
import { formatPlatform, parsePlatform, platformOf, type Platform } from "./platform.ts";

/** The platforms of an image to transfer: all in its index, or those that match one of these. */
export type PlatformChoice = "all" | readonly Platform[];

/**
 * An image for one or several platforms, byte for byte: its root, which is an index or the manifest of one image, and the available parts
 * of it. An index may name more manifests, for instance after `docker pull`, which pulls one platform.
 */
export interface IndexContent {
  root: EncodedManifest;
  /** The available manifests of an index, in its order, including attestations. Empty if the root is a manifest. */
  manifests: readonly EncodedManifest[];
  /** The platforms of these manifests, from the index. Empty if the root is a manifest. */
  platforms: readonly Platform[];
  /** Their configs and layers, each once: all available parts except root and manifests. */
  blobs: readonly Descriptor[];
}

/**
 * Bytes of the root and the manifests together. They are sent in one message (PROTOCOL.md, 3), in base64. The 18 manifests of an official
 * image have some 60 kB.
 */
const MAX_BYTES = 500_000;

/**
 * Combines an index and its manifests. Throws {@link InvalidImage} for a manifest that the index does not name, for a nested index, and for
 * contents that exceed the limits of a transfer.
 *
 * @param manifests in any order; empty for a root that is the manifest of one image
 */
export function indexContent(root: Buffer, manifests: readonly Buffer[]): IndexContent {
  const bytes = [root, ...manifests].reduce((sum, { length }) => sum + length, 0);
  if (bytes > MAX_BYTES) {
    throw new InvalidImage(`its index and manifests have ${bytes} bytes, more than the ${MAX_BYTES} that can be sent`);
  }
  const parsed = parseManifest(root);
  const encoded = withDescriptor({ mediaType: parsed.mediaType, bytes: root });
  if (!isIndex(parsed)) {
    if (manifests.length > 0)
      throw new InvalidImage("it is the manifest of one image, but other manifests came with it");
    return { root: encoded, manifests: [], platforms: [], blobs: blobsOf([root]) };
  }
  const given = new Map(
    manifests.map((manifestBytes) => {
      const { mediaType } = parseImageManifest(manifestBytes);
      const manifest = withDescriptor({ mediaType, bytes: manifestBytes });
      return [manifest.descriptor.digest, manifest];
    }),
  );
  const entries = parsed.manifests.filter(({ digest, size }) => given.get(digest)?.descriptor.size === size);
  const digests = [...new Set(entries.map(({ digest }) => digest))];
  const named = digests.flatMap((digest) => given.get(digest) ?? []);
  if (named.length < given.size) throw new InvalidImage("its index does not name a manifest that comes with it");
  return {
    root: encoded,
    manifests: named,
    platforms: platformsOf(entries),
    blobs: blobsOf(named.map((manifest) => manifest.bytes)),
  };
}

/** Returns the platforms in the entries of an index, each once. Omits attestations, and platforms that options cannot express. */
export function platformsOf(entries: readonly Descriptor[]): Platform[] {
  const named = entries.filter((entry) => !isAttestation(entry)).flatMap(({ platform }) => platform ?? []);
  const platforms = named.flatMap((platform) => parsePlatform(formatPlatform(platformOf(platform))) ?? []);
  return [...new Map(platforms.map((platform) => [formatPlatform(platform), platform])).values()];
}

/** Returns the platforms of an image that is transferred with its index, for messages; undefined if it names none. */
export function platformTexts(index: IndexContent | undefined): string[] | undefined {
  const platforms = index?.platforms.map(formatPlatform);
  return platforms?.length === 0 ? undefined : platforms;
}

/** Returns all parts of an image. */
export function partsOf({ root, manifests, blobs }: IndexContent): Descriptor[] {
  return [root.descriptor, ...manifests.map(({ descriptor }) => descriptor), ...blobs];
}

/** Returns the configs and layers that manifests name, each once. */
function blobsOf(manifests: readonly Buffer[]): Descriptor[] {
  const blobs = new Map<string, Descriptor>();
  for (const { config, layers } of manifests.map(parseImageManifest)) {
    for (const { mediaType, digest, size } of [config, ...layers]) {
      const before = blobs.get(digest);
      if (before !== undefined && before.size !== size) throw new InvalidImage(`it contains ${digest} with two sizes`);
      blobs.set(digest, before ?? { mediaType, digest, size });
    }
  }
  if (blobs.size > MAX_LAYERS) throw new InvalidImage(`its manifests name more than ${MAX_LAYERS} blobs`);
  return [...blobs.values()];
}
