import { Readable } from "node:stream";
import { ImageNotFound } from "../../image/archive/choose-image.ts";
import type { ArchivedImage, ImageArchive } from "../../image/archive/image-archive.ts";
import type { ArchivedName } from "../../image/archived-name.ts";
import { parseImageManifest } from "../../image/manifest.ts";
import { parseImageName, referenceOrPlaceholder, type ImageName } from "../../image/image-name.ts";
import type { IndexContent, PlatformChoice } from "../../image/index-content.ts";
import type { FileLocation } from "../../image/location.ts";
import { familiarName, fullName, tryReference, type Reference } from "../../image/reference.ts";
import { inputKind, openablePath } from "../../image/open/archive-input.ts";
import { openArchive } from "../../image/open/open-archive.ts";
import { byteRange } from "../../streams/byte-range.ts";
import { archivedImageFailure, archiveFailure, noIndexIn, readFailure } from "./archive-errors.ts";
import type { OfferOptions } from "../found-image.ts";
import { indexFailure, readIndex, type StoredBlobs } from "../read-index.ts";
import { LayersByDelta, type LayersByDeltaOptions } from "./layers-by-delta.ts";
import { serveFromArchive } from "./serve-from-archive.ts";
import { serveFromEmbeddedRegistry } from "../serve-from-embedded-registry.ts";
import { foundIndex } from "../serve-index.ts";
import type { Source } from "../source.ts";
import { spoolArchive, type SpoolOptions } from "./spool-archive.ts";
import type { Platform } from "../../image/platform.ts";

/**
 * Opens an archive or an OCI layout for sending an image, without an engine. First reads an archive to its end if it arrives through a
 * pipe, or is compressed as a whole. The caller owns the source.
 */
export async function archiveSource(
  location: FileLocation,
  options: SpoolOptions & Pick<LayersByDeltaOptions, "engine">,
): Promise<Source> {
  const { archive, close } = await open(location, options).catch((error: unknown) => {
    throw archiveFailure(location, error);
  });
  const byDelta = new LayersByDelta({ location, ...options });
  return {
    address: location.path,
    get moved() {
      return byDelta.moved;
    },
    async check({ platform, platforms }) {
      try {
        if (platforms === undefined) await findImage(archive, location, { platform });
        else await findIndex(archive, location, { platforms });
      } catch (error) {
        // The receiver's name or platform may select one of several images.
        if (!isAmbiguous(error)) throw archivedImageFailure(location, error, platform);
      }
    },
    async name({ platform, platforms }) {
      if (location.name?.reference !== undefined) return location.name;
      if (platforms !== undefined) return onlyName(archive.list().flatMap(({ names }) => names));
      const image = await findImage(archive, location, { platform }).catch(() => undefined); // find() rejects with it
      return image && onlyName(image.names);
    },
    async find({ image: name, platform, platforms, receiverPlatform }) {
      const requested = referenceOrPlaceholder(name);
      if (platforms !== undefined) {
        const found = findIndex(archive, location, { platforms, requested });
        const index = await found.catch((error: unknown) => {
          throw archivedImageFailure(location, error, undefined);
        });
        const toFailure = (error: unknown): unknown => readFailure(error, location);
        return foundIndex({ ...index, image: requested, receiverPlatform, toFailure });
      }
      const image = await findImage(archive, location, { requested, platform, receiverPlatform }).catch(
        (error: unknown) => {
          throw archivedImageFailure(location, error, platform);
        },
      );
      const { diffIds, configDigest, manifest } = image;
      const served = (offerOptions: OfferOptions) =>
        serveFromArchive({ location, image, name: requested, byDelta }, offerOptions);
      return {
        diffIds,
        platform: image.platform,
        configDigest,
        sizes: async () => image.layers.map(({ blob, absent, delta }) => (absent && !delta ? 0 : blob.size)),
        ...(manifest && { manifest: async () => parseImageManifest(manifest.bytes) }),
        served: async (offerOptions) => served(offerOptions),
        offer: async (offerOptions) => await serveFromEmbeddedRegistry(served(offerOptions), offerOptions),
      };
    },
    async [Symbol.asyncDispose]() {
      await byDelta[Symbol.asyncDispose]();
      await close();
    },
  };
}

interface IndexChoice {
  platforms: PlatformChoice;
  requested?: Reference | undefined;
}

/** Finds the image that the location names, or the only image, or the image with the requested name, with its index. */
async function findIndex(
  { roots, isPartial }: ImageArchive,
  location: FileLocation,
  { platforms, requested }: IndexChoice,
): Promise<{ content: IndexContent; stored: StoredBlobs }> {
  if (roots === undefined) throw noIndexIn(location, isPartial);
  const { name, given, path: address } = location;
  const root = await roots.read(name).catch(async (error: unknown) => {
    if (!isAmbiguous(error) || name !== undefined || requested === undefined) throw error;
    return await roots.read({ given: fullName(requested), reference: requested });
  });
  const stored: StoredBlobs = {
    ...roots,
    isInFile: true,
    open: (blob, range) => {
      const all = roots.open(blob);
      // Also reads the bytes before the range: a digest can only be verified from the start.
      return range === undefined ? all : Readable.from(byteRange(all, range), { objectMode: false });
    },
  };
  const image = requested === undefined ? given : requested.given;
  try {
    return { content: await readIndex(root, stored, platforms, { image, address }), stored };
  } catch (error) {
    throw indexFailure(error, image);
  }
}

async function open({ kind, path }: FileLocation, options: SpoolOptions) {
  const input = await inputKind(path);
  const isReadInPlace = input === "folder" || input === "plain";
  const spooled = isReadInPlace ? undefined : await spoolArchive(path, options);
  try {
    const archive = await openArchive(kind, spooled?.path ?? openablePath(path));
    const close = async (): Promise<void> => {
      await archive.close();
      await spooled?.[Symbol.asyncDispose]();
    };
    return { archive, close };
  } catch (error) {
    await spooled?.[Symbol.asyncDispose]();
    throw error;
  }
}

interface ImageChoice {
  name?: ArchivedName | undefined;
  requested?: Reference | undefined;
  platform?: Platform | undefined;
  receiverPlatform?: Platform | undefined;
}

/**
 * Finds the image that the location names, or the only image, whatever name the receiver gives it. Among several images, finds the image
 * with the requested name; among several platforms, the receiver's platform.
 */
async function findImage(
  archive: ImageArchive,
  location: FileLocation,
  { name = location.name, requested, platform, receiverPlatform }: ImageChoice,
): Promise<ArchivedImage> {
  try {
    return await archive.find(name, platform);
  } catch (error) {
    if (!isAmbiguous(error)) throw error;
    if (error.ambiguity === "name" && name === undefined && requested !== undefined) {
      const wanted = { given: fullName(requested), reference: requested };
      const choice = { name: wanted, platform, receiverPlatform };
      return await findImage(archive, location, choice).catch((other: unknown) => {
        const isMissing = other instanceof ImageNotFound && other.ambiguity === undefined && other.images !== undefined;
        throw isMissing ? new ImageNotFound(`it holds no image ${wanted.given}, but ${error.images}`) : other;
      });
    }
    if (error.ambiguity !== "platform" || platform !== undefined || receiverPlatform === undefined) throw error;
    return await findImage(archive, location, { name, platform: receiverPlatform }).catch(() => {
      throw error; // no image is for the receiver's platform: the user must choose
    });
  }
}

/** Returns the only full name among an archive's names. Some of these may be only tags, or the same name twice. */
function onlyName(names: readonly string[]): ImageName | undefined {
  const references = names.filter((name) => /[:/]/.test(name)).flatMap((name) => tryReference(name) ?? []);
  const [one, ...others] = new Set(references.map((it) => `${familiarName(it)}:${it.tag ?? "latest"}`));
  return one === undefined || others.length > 0 ? undefined : parseImageName(one);
}

function isAmbiguous(error: unknown): error is ImageNotFound {
  return error instanceof ImageNotFound && error.ambiguity !== undefined;
}
