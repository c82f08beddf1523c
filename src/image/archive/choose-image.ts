import type { ArchivedName } from "../archived-name.ts";
import { InvalidImage } from "../invalid-image.ts";
import { bestPlatformMatches, formatPlatform, type Platform } from "../platform.ts";
import { quoted } from "../tar/entry-path.ts";
import type { ListedImage } from "./image-archive.ts";
import { imagesByName } from "./images-by-name.ts";

/** Thrown if no image or several images match. The message lists the images in the archive. */
export class ImageNotFound extends Error {
  override readonly name = "ImageNotFound";
  /** The choice that the user must make between several images. */
  readonly ambiguity: "name" | "platform" | undefined;
  /** For a wrong or ambiguous name: the images in the archive, for a message. */
  readonly images: string | undefined;

  constructor(message: string, ambiguity?: "name" | "platform", images?: string) {
    super(message);
    this.ambiguity = ambiguity;
    this.images = images;
  }
}

/** An image in an archive that may be the requested one. */
export interface Candidate<T> extends ListedImage {
  /** Equal for entries of the same image under several names. */
  id: string;
  /**
   * Reads the image. Resolves to undefined for an artifact that is not an image. Throws `InvalidImage`. Called twice for the chosen image.
   */
  read(): Promise<T | undefined>;
}

/** The text that stands for an image without a name in messages. */
export const WITHOUT_NAME = "one without a name";
/** The maximum number of names or platforms that a message lists. */
const MAX_SHOWN = 10;

interface NamedImage {
  names: string[];
  platform: Platform;
}

/**
 * The stored properties of an image that has been read, without its config: a layout may have tens of thousands of images, with configs of
 * up to 8 MB.
 */
interface ReadCandidate<T> extends NamedImage {
  candidate: Candidate<T>;
}

interface Candidates<T> {
  /** The images that can be read. */
  readable: ReadCandidate<T>[];
  unreadable: Candidate<T>[];
  /** The error of the first of `unreadable`. */
  error: InvalidImage | undefined;
}

/** Returns the requested image, which it reads again. Throws {@link ImageNotFound}, and the errors of its `read`. */
export async function chooseImage<T extends NamedImage>(
  all: Candidate<T>[],
  name: ArchivedName | undefined,
  platform: Platform | undefined,
): Promise<T> {
  const named = mergeNames(name === undefined ? all : imagesByName(all, name));
  if (named.length === 0) throw noSuchName(all, name);
  const found = await readAll(suitable(named, platform));
  const best = platform === undefined ? found.readable : bestPlatformMatches(found.readable, platform);
  const [image] = best;
  if (image === undefined) throw found.error ?? noSuchPlatform(name, platform, [...named, ...found.readable]);
  // An unreadable image does not matter, unless it is a variant of this one and may be the requested one.
  const variants = found.unreadable.filter((candidate) => platform === undefined && isVariant(candidate, image));
  if (best.length === 1 && variants.length === 0) return await readAgain(image);
  throw ambiguous(name, best, variants);
}

/** Drops the images whose platform in the index does not match. */
function suitable<T>(candidates: Candidate<T>[], wanted: Platform | undefined): Candidate<T>[] {
  if (wanted === undefined) return candidates;
  const known = candidates.filter(
    (candidate): candidate is Candidate<T> & { platform: Platform } => candidate.platform !== undefined,
  );
  const best = new Set<Candidate<T>>(bestPlatformMatches(known, wanted));
  return candidates.filter((candidate) => candidate.platform === undefined || best.has(candidate));
}

async function readAll<T extends NamedImage>(candidates: Candidate<T>[]): Promise<Candidates<T>> {
  const found: Candidates<T> = { readable: [], unreadable: [], error: undefined };
  for (const candidate of candidates) {
    try {
      const image = await candidate.read();
      if (image !== undefined) found.readable.push({ candidate, names: candidate.names, platform: image.platform });
    } catch (error) {
      if (!(error instanceof InvalidImage)) throw error;
      found.unreadable.push(candidate);
      found.error ??= error;
    }
  }
  return found;
}

async function readAgain<T extends NamedImage>({ candidate, names }: ReadCandidate<T>): Promise<T> {
  const image = await candidate.read();
  if (image === undefined) throw new InvalidImage("its files have changed while they were read");
  return { ...image, names };
}

function isVariant<T>(candidate: Candidate<T>, image: NamedImage): boolean {
  return candidate.platform !== undefined && nameOf(candidate) === nameOf(image);
}

/** Returns all names of an image as one text. */
function nameOf({ names }: { names: readonly string[] }): string {
  return names.toSorted().join(" ");
}

/** Merges entries of the same image under several names. */
function mergeNames<T>(candidates: Candidate<T>[]): Candidate<T>[] {
  const byId = new Map<string, { candidate: Candidate<T>; names: Set<string> }>();
  for (const candidate of candidates) {
    const names = byId.get(candidate.id)?.names ?? new Set();
    for (const name of candidate.names) names.add(name);
    byId.set(candidate.id, { candidate, names });
  }
  return [...byId.values()].map(({ candidate, names }) => ({ ...candidate, names: [...names] }));
}

function noSuchName(all: readonly ListedImage[], name: ArchivedName | undefined): ImageNotFound {
  if (name === undefined) return new ImageNotFound("it holds no image");
  const images = listNames(all);
  return new ImageNotFound(`it holds no image ${name.given}, but ${images}`, undefined, images);
}

/** Reports all platforms in the index. The archive may not contain all of them, because engines save the ones that they have. */
function noSuchPlatform(
  name: ArchivedName | undefined,
  platform: Platform | undefined,
  known: readonly { platform?: Platform }[],
): ImageNotFound {
  const platforms = textsOf(known);
  const listed = platforms.size > 0 ? ` (its index names ${shown(platforms)})` : "";
  return new ImageNotFound(
    `it holds no ${imageText(name)} for ${platform === undefined ? "any platform" : formatPlatform(platform)}${listed}`,
  );
}

function ambiguous(
  name: ArchivedName | undefined,
  best: readonly NamedImage[],
  variants: readonly ListedImage[],
): ImageNotFound {
  const platforms = textsOf([...best, ...variants]);
  if (platforms.size > 1 && new Set(best.map(nameOf)).size === 1) {
    return new ImageNotFound(`it holds an ${imageText(name)} for ${shown(platforms)}: choose a platform`, "platform");
  }
  const images = listNames(best);
  return new ImageNotFound(`it holds ${best.length} images: choose one of ${images}`, "name", images);
}

function imageText(name: ArchivedName | undefined): string {
  return name === undefined ? "image" : `image ${name.given}`;
}

function textsOf(images: readonly { platform?: Platform }[]): Set<string> {
  return new Set(images.flatMap(({ platform }) => (platform === undefined ? [] : formatPlatform(platform))));
}

function listNames(images: readonly { names: string[] }[]): string {
  return shown(new Set(images.map(({ names: [name] }) => (name === undefined ? WITHOUT_NAME : quoted(name)))));
}

function shown(all: ReadonlySet<string>): string {
  const first = [...all].slice(0, MAX_SHOWN).join(", ");
  return all.size > MAX_SHOWN ? `${first} and ${all.size - MAX_SHOWN} more` : first;
}
