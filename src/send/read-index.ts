import type { Readable } from "node:stream";
import { isAttestation, subjectOf } from "../image/attestation.ts";
import { MAX_CONFIG, parseConfig } from "../image/config.ts";
import type { Digest } from "../image/digest.ts";
import { indexContent, platformsOf, type IndexContent, type PlatformChoice } from "../image/index-content.ts";
import {
  isIndex,
  MAX_MANIFEST,
  parseImageManifest,
  parseManifest,
  type Descriptor,
  type Index,
} from "../image/manifest.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { entryMatchesPlatform, formatPlatform } from "../image/platform.ts";
import { Failure } from "../output/errors.ts";
import type { ByteRange } from "../registry/embedded/pull/registry-content.ts";

/** The blobs of a source that stores images byte for byte: a content store, or an OCI layout. */
export interface StoredBlobs {
  /** Whether blobs are in files on this machine. */
  readonly isInFile: boolean;
  /** Returns the blobs that exist with this size. */
  present(blobs: readonly Descriptor[]): Promise<ReadonlySet<Digest>>;
  /** Reads and verifies a whole small blob; undefined if it is missing. */
  readSmall(blob: Descriptor, max: number): Promise<Buffer | undefined>;
  /** Streams a blob, or a range of it. The caller owns the stream. */
  open(blob: Descriptor, range: ByteRange | undefined, signal: AbortSignal): Readable;
}

/** For messages. */
interface Named {
  image: string;
  /** The location of the image. */
  address: string;
}

/**
 * Reads the chosen platforms of an image: the root, its manifests, and those of their attestations that exist. Throws a Failure
 * `image-not-found` for a platform that the index does not name, or whose content is missing; and `InvalidImage`.
 *
 * @param root the bytes of the image's index; for an image for one platform, the bytes of its manifest
 */
export async function readIndex(
  root: Buffer,
  stored: StoredBlobs,
  choice: PlatformChoice,
  named: Named,
): Promise<IndexContent> {
  const index = parseManifest(root);
  if (!isIndex(index)) return await readSingle(root, stored, choice, named);
  const images = chooseImages(index, choice, named);
  const subjects = new Set(images.map(({ digest }) => digest));
  const isAbout = (entry: Descriptor): boolean => choice === "all" || subjects.has(subjectOf(entry) ?? "");
  const attestations = index.manifests.filter((entry) => isAttestation(entry) && isAbout(entry));
  const [complete, completeAttestations] = [
    await readComplete(images, stored),
    await readComplete(attestations, stored),
  ];
  const missing = images.filter(({ digest }) => !complete.has(digest));
  if (missing.length > 0)
    throw notComplete(missing, platformsOf(images.filter(({ digest }) => complete.has(digest))), named);
  return indexContent(root, [...complete.values(), ...completeAttestations.values()]);
}

async function readSingle(
  root: Buffer,
  stored: StoredBlobs,
  choice: PlatformChoice,
  { image, address }: Named,
): Promise<IndexContent> {
  if (choice !== "all") {
    throw new Failure("image-not-found", `${image} in ${address} has one platform, and no index of several`, {
      expected: "an image with an index, because several platforms are named",
      hint: "Omit all but one --platform.",
    });
  }
  const content = indexContent(root, []);
  const config = await stored.readSmall(parseImageManifest(root).config, MAX_CONFIG);
  if (config !== undefined && (await stored.present(content.blobs)).size === content.blobs.length) {
    return { ...content, platforms: [parseConfig(config).platform] };
  }
  throw new Failure("image-not-found", `${image} in ${address} lacks a part of its content`, {
    expected: "its config and all of its layers",
    hint: "Build or pull it again.",
  });
}

/** Returns the entries for platforms, each once. An index may name one manifest for two platforms. */
function chooseImages(index: Index, choice: PlatformChoice, { image, address }: Named): Descriptor[] {
  const all = index.manifests.filter((entry) => !isAttestation(entry));
  if (all.length === 0) {
    throw new Failure("image-not-found", `the index of ${image} in ${address} names no image`, {
      expected: "a manifest for at least one platform",
      hint: "Build or pull it again.",
    });
  }
  const chosen = new Set<Descriptor>();
  for (const entry of choice === "all" ? all : []) chosen.add(entry);
  for (const platform of choice === "all" ? [] : choice) {
    const found = all.filter((entry) => entryMatchesPlatform(entry, platform));
    for (const entry of found) chosen.add(entry);
    if (found.length > 0) continue;
    const known = platformsOf(all).map(formatPlatform).join(", ");
    throw new Failure(
      "image-not-found",
      `the index of ${image} in ${address} does not name ${formatPlatform(platform)}`,
      {
        expected: known === "" ? "an index that names platforms" : `some of ${known}`,
        hint: "Choose other platforms with --platform.",
      },
    );
  }
  return [...new Map([...chosen].map((entry) => [entry.digest, entry])).values()];
}

/** Reads the manifests whose config and layers all exist. Throws `InvalidImage` for an index among them. */
async function readComplete(entries: readonly Descriptor[], stored: StoredBlobs): Promise<Map<Digest, Buffer>> {
  const read = new Map<Digest, Buffer>();
  let total = 0;
  for (const entry of entries) {
    const bytes = read.has(entry.digest) ? undefined : await stored.readSmall(entry, MAX_MANIFEST);
    if (bytes === undefined) continue;
    read.set(entry.digest, bytes);
    total += bytes.length; // a hostile index may name a thousand manifests of 4 MB
    if (total > MAX_MANIFEST) throw new InvalidImage(`its manifests have more than ${MAX_MANIFEST} bytes together`);
  }
  const partsOf = (bytes: Buffer): Descriptor[] => {
    const { config, layers } = parseImageManifest(bytes);
    return [config, ...layers];
  };
  const parts = new Map([...read.values()].flatMap(partsOf).map((part) => [part.digest, part]));
  const present = await stored.present([...parts.values()]);
  return new Map([...read].filter(([, bytes]) => partsOf(bytes).every(({ digest }) => present.has(digest))));
}

/** Returns the Failure for an image that cannot be sent with its index. Returns other errors unchanged. */
export function indexFailure(error: unknown, image: string): unknown {
  if (!(error instanceof InvalidImage)) return error;
  return new Failure("not-verified", `${image} cannot be sent with its index: ${error.message}`, {
    expected: "an index of the manifests of images",
    hint: "Omit --all-platforms, or name one --platform: then one platform of it is sent.",
    cause: error,
  });
}

function notComplete(
  missing: readonly Descriptor[],
  existing: readonly Parameters<typeof formatPlatform>[0][],
  { image, address }: Named,
): Failure {
  const names = platformsOf(missing).map(formatPlatform).join(", ");
  const options = existing.map((platform) => `--platform ${formatPlatform(platform)}`).join(" ");
  return new Failure(
    "image-not-found",
    `the index of ${image} in ${address} names ${names === "" ? "manifests" : names} without the content`,
    {
      expected: "manifest, config and layers of each platform to send",
      hint: `docker pull takes one platform of an index: pull the others with docker pull --platform${options === "" ? "" : `, or send the platforms that exist: ${options}`}.`,
    },
  );
}
