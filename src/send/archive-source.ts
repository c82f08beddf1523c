import { ImageNotFound } from "../image/archive/choose-image.ts";
import type { ArchivedImage, ImageArchive } from "../image/archive/image-archive.ts";
import { parseImageManifest } from "../image/manifest.ts";
import { referenceOrPlaceholder } from "../image/image-name.ts";
import type { FileLocation } from "../image/location.ts";
import { familiarName, fullName, tryReference, type Reference } from "../image/reference.ts";
import { inputKind, openablePath } from "../image/archive/archive-input.ts";
import { openArchive } from "../image/open-archive.ts";
import { explained, unreadable } from "./archive-errors.ts";
import { serveFromArchive } from "./serve-from-archive.ts";
import type { Source } from "./source.ts";
import { spoolArchive, type SpoolOptions } from "./spool-archive.ts";

/**
 * A file or a folder to send an image from; no engine is needed. What comes from a pipe, or is packed as a whole, is read to its end
 * first. The caller owns it.
 */
export async function archiveSource(location: FileLocation, options: SpoolOptions): Promise<Source> {
  const { archive, close } = await open(location, options).catch((error: unknown) => {
    throw unreadable(location, error);
  });
  return {
    address: location.path,
    async check(platform) {
      try {
        await pick(archive, location, { platform });
      } catch (error) {
        if (!isUnclear(error)) throw explained(error, location, platform); // else the receiver's name or platform may tell
      }
    },
    async name(platform) {
      const image = await pick(archive, location, { platform }).catch(() => undefined); // what is wrong, finding it tells
      return image && onlyName(image.names);
    },
    async find({ image: name, platform, runs }) {
      const asked = referenceOrPlaceholder(name);
      const image = await pick(archive, location, { asked, platform, runs }).catch((error: unknown) => {
        throw explained(error, location, platform);
      });
      const { diffIds, platform: found, configDigest, manifest } = image;
      return {
        diffIds,
        platform: found,
        configDigest,
        ...(manifest && { manifest: async () => parseImageManifest(manifest.bytes) }),
        offer: async (options) => await serveFromArchive({ location, image, asked }, options),
      };
    },
    [Symbol.asyncDispose]: close,
  };
}

async function open({ kind, path }: FileLocation, options: SpoolOptions) {
  const input = await inputKind(path);
  const isInPlace = input === "folder" || input === "plain";
  const spooled = isInPlace ? undefined : await spoolArchive(path, options);
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

interface Choice {
  reference?: string | undefined;
  asked?: Reference | undefined;
  platform?: string | undefined;
  runs?: string | undefined;
}

/**
 * The image that the place names, or the only one in there, whatever the receiver calls it. Of several, the one of the name that
 * the receiver asks for; of several variants, the one that runs over there.
 */
async function pick(
  archive: ImageArchive,
  location: FileLocation,
  { reference = location.reference, asked, platform, runs }: Choice,
): Promise<ArchivedImage> {
  try {
    return await archive.find(reference, platform);
  } catch (error) {
    if (!isUnclear(error)) throw error;
    if (error.ambiguity === "name" && reference === undefined && asked !== undefined) {
      const name = fullName(asked);
      return await pick(archive, location, { reference: name, platform, runs }).catch((other: unknown) => {
        const isNone = other instanceof ImageNotFound && other.ambiguity === undefined && other.images !== undefined;
        throw isNone ? new ImageNotFound(`it holds no image ${name}, but ${error.images}`) : other;
      });
    }
    if (error.ambiguity !== "platform" || platform !== undefined || runs === undefined) throw error;
    return await pick(archive, location, { reference, platform: runs }).catch(() => {
      throw error; // none of its variants runs there: which, is for a person to say
    });
  }
}

/** The one whole name among an archive's, which may be tags alone, or the same name twice. */
function onlyName(names: readonly string[]): string | undefined {
  const whole = names.filter((name) => /[:/]/.test(name)).flatMap((name) => tryReference(name) ?? []);
  const [one, ...others] = new Set(whole.map((reference) => `${familiarName(reference)}:${reference.tag ?? "latest"}`));
  return others.length === 0 ? one : undefined;
}

function isUnclear(error: unknown): error is ImageNotFound {
  return error instanceof ImageNotFound && error.ambiguity !== undefined;
}
