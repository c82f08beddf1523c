import { InvalidImage } from "../invalid-image.ts";
import { bestPlatformMatches } from "../platform.ts";
import { fullName, tryReference } from "../reference.ts";
import { quoted } from "../tar/entry-path.ts";
import type { ListedImage } from "./image-archive.ts";

/** The archive has no such image, or more than one that could be meant. The message says which there are. */
export class ImageNotFound extends Error {
  override readonly name = "ImageNotFound";
  /** What would tell which one is meant, where there is more than one. */
  readonly ambiguity: "name" | "platform" | undefined;
  /** Where it is about the name: those that there are, for a message. */
  readonly images: string | undefined;

  constructor(message: string, unclear?: "name" | "platform", images?: string) {
    super(message);
    this.ambiguity = unclear;
    this.images = images;
  }
}

/** An image that may be meant. */
export interface Candidate<T> extends ListedImage {
  /** Equal for the same image under several names. */
  id: string;
  /** Undefined when it is no image after all. Throws `InvalidImage`. Of the one that is chosen, it is called twice. */
  read(): Promise<T | undefined>;
}

/** Names or platforms that a message lists. */
const MAX_SHOWN = 10;

interface Readable {
  names: string[];
  platform: string;
}

/** What is kept of a candidate that has been read: a layout may have tens of thousands, each with a config of up to 8 MB. */
interface Known<T> extends Readable {
  candidate: Candidate<T>;
}

/** The one that is meant, read once more. Throws {@link ImageNotFound}, and what reading it throws. */
export async function chooseImage<T extends Readable>(
  all: Candidate<T>[],
  reference: string | undefined,
  platform: string | undefined,
): Promise<T> {
  const named = mergeNames(reference === undefined ? all : byName(all, reference));
  if (named.length === 0) {
    if (reference === undefined) throw new ImageNotFound("it holds no image");
    const images = listOf(all);
    throw new ImageNotFound(`it holds no image ${reference}, but ${images}`, undefined, images);
  }
  const read: Known<T>[] = [];
  const unreadable: Candidate<T>[] = [];
  let firstError: InvalidImage | undefined;
  for (const candidate of fitting(named, platform)) {
    try {
      const image = await candidate.read();
      if (image !== undefined) read.push({ candidate, names: candidate.names, platform: image.platform });
    } catch (error) {
      if (!(error instanceof InvalidImage)) throw error;
      unreadable.push(candidate);
      firstError ??= error;
    }
  }
  const best = platform === undefined ? read : bestPlatformMatches(read, platform);
  const [image, ...others] = best;
  const what = reference === undefined ? "image" : `image ${reference}`;
  if (image === undefined && firstError !== undefined) throw firstError;
  if (image === undefined)
    throw new ImageNotFound(`it holds no ${what} for ${platform ?? "any platform"}${butFor(named, read)}`);
  // One that cannot be read is in nobody's way, unless it is a variant of this image, and may be the one that is meant.
  const variants = unreadable.filter((candidate) => platform === undefined && isVariant(candidate, image));
  if (others.length === 0 && variants.length === 0) return await readAgain(image);
  const platforms = new Set([...best, ...variants].flatMap((one) => one.platform ?? []));
  if (platforms.size > 1 && new Set(best.map(nameOf)).size === 1)
    throw new ImageNotFound(`it holds an ${what} for ${shown(platforms)}: say which platform`, "platform");
  const images = listOf(best);
  throw new ImageNotFound(`it holds ${best.length} images: say which, out of ${images}`, "name", images);
}

async function readAgain<T extends Readable>({ candidate, names }: Known<T>): Promise<T> {
  const image = await candidate.read();
  if (image === undefined) throw new InvalidImage("its files have changed while they were read");
  return { ...image, names };
}

function isVariant<T>(candidate: Candidate<T>, image: Readable): boolean {
  return candidate.platform !== undefined && nameOf(candidate) === nameOf(image);
}

/** All of an image's names as one text. */
function nameOf({ names }: { names: readonly string[] }): string {
  return names.toSorted().join(" ");
}

/** An index may name platforms that the archive does not hold: engines save what they have. */
function butFor(named: ListedImage[], read: Readable[]): string {
  const platforms = new Set([...named, ...read].flatMap((one) => one.platform ?? []));
  return platforms.size > 0 ? ` (its index names ${shown(platforms)})` : "";
}

/** Those that the index does not say to be of another platform. */
function fitting<T>(candidates: Candidate<T>[], wanted: string | undefined): Candidate<T>[] {
  if (wanted === undefined) return candidates;
  const known = candidates.filter((one): one is Candidate<T> & { platform: string } => one.platform !== undefined);
  const best = new Set<Candidate<T>>(bestPlatformMatches(known, wanted));
  return candidates.filter((one) => one.platform === undefined || best.has(one));
}

/** The closest kind of match that there is: the very name, an equal reference, the tag alone. */
function byName<T>(all: Candidate<T>[], reference: string): Candidate<T>[] {
  const wanted = tryReference(reference);
  const full = wanted && fullName(wanted);
  // Each looks at a name once: an archive may have hundreds of thousands.
  const kinds: ((names: string[]) => boolean)[] = [
    (names) => names.includes(reference),
    (names) => full !== undefined && names.some((name) => equals(name, full)),
    // Only where it is not part of a whole name: buildah, kaniko and skopeo annotate with a tag alone.
    (names) => names.includes(wanted?.tag ?? "") && !names.some((name) => /[/:]/.test(name)),
  ];
  for (const isMatch of kinds) {
    const found = all.filter(({ names }) => isMatch(names));
    if (found.length > 0) return found;
  }
  return [];
}

function equals(name: string, full: string): boolean {
  const reference = tryReference(name);
  return reference !== undefined && fullName(reference) === full;
}

/** One image may be named by several entries. */
function mergeNames<T>(candidates: Candidate<T>[]): Candidate<T>[] {
  const byId = new Map<string, { candidate: Candidate<T>; names: Set<string> }>();
  for (const candidate of candidates) {
    const names = byId.get(candidate.id)?.names ?? new Set();
    for (const name of candidate.names) names.add(name);
    byId.set(candidate.id, { candidate, names });
  }
  return [...byId.values()].map(({ candidate, names }) => ({ ...candidate, names: [...names] }));
}

function listOf(images: { names: string[] }[]): string {
  return shown(new Set(images.map(({ names: [name] }) => (name === undefined ? "one without a name" : quoted(name)))));
}

function shown(all: ReadonlySet<string>): string {
  const first = [...all].slice(0, MAX_SHOWN).join(", ");
  return all.size > MAX_SHOWN ? `${first} and ${all.size - MAX_SHOWN} more` : first;
}
