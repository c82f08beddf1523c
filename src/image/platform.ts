/** A platform, as in the JSON of the Engine API and of an index (OCI image spec, image-index.md, `platform`). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** Stands for an operating system or architecture that an image's config leaves out, or gives as an empty string. */
export const UNKNOWN = "unknown";

/** The variant of an architecture that names none (containerd `platforms`, normalization). */
const DEFAULT_VARIANT: Record<string, string> = { arm64: "v8", arm: "v7" };

const FORM = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9.]+))?$/;

/** Parses `os/architecture[/variant]` (OCI image spec, config.md); returns undefined for other text. */
export function parsePlatform(text: string): Platform | undefined {
  const [, os, architecture, variant] = FORM.exec(text) ?? [];
  return os === undefined ? undefined : platformOf({ os, architecture, variant });
}

/**
 * Makes a platform of its parts, with `unknown` for an operating system or architecture that is missing. Some builders leave the
 * architecture out; Docker accepts such images. `unknown` goes into no image and to no engine ({@link isKnownPlatform}).
 */
export function platformOf({ os, architecture, variant }: { [part in keyof Platform]?: string | undefined }): Platform {
  return { os: os || UNKNOWN, architecture: architecture || UNKNOWN, ...(variant && { variant }) };
}

/** Formats a platform as {@link parsePlatform} reads it. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant ? [variant] : [])].join("/");
}

/** Tells whether both operating system and architecture are known. Engines are asked for no other platform. */
export function isKnownPlatform({ os, architecture }: Platform): boolean {
  return os !== UNKNOWN && architecture !== UNKNOWN;
}

export function isSamePlatform(one: Platform, other: Platform): boolean {
  return formatPlatform(one) === formatPlatform(other);
}

/** Tells whether an image for the platform `actual` serves a request for `wanted`. Without a wanted variant, any variant does. */
export function matchesPlatform(actual: Platform, wanted: Platform): boolean {
  if (actual.os !== wanted.os || actual.architecture !== wanted.architecture) return false;
  return !wanted.variant || (actual.variant || DEFAULT_VARIANT[actual.architecture]) === wanted.variant;
}

/** Tells whether an entry of an index serves a request for `wanted`. An entry without a platform serves none. */
export function entryMatchesPlatform({ platform }: { platform?: Platform }, wanted: Platform): boolean {
  return platform !== undefined && matchesPlatform(platform, wanted);
}

/**
 * Returns the images that run best on the platform `wanted`: same operating system and architecture, and the highest variant not above
 * the wanted one. Without a wanted variant, the lowest higher one is better than none.
 */
export function bestPlatformMatches<T extends { platform: Platform }>(images: readonly T[], wanted: Platform): T[] {
  const same = images.filter(
    ({ platform: { os, architecture } }) => os === wanted.os && architecture === wanted.architecture,
  );
  const level = ({ platform }: { platform: Platform }): number => variantLevel(platform);
  const limit = variantLevel(wanted);
  const below = same.filter((image) => level(image) <= limit);
  if (below.length > 0) return withLevel(below, Math.max(...below.map(level)), level);
  return wanted.variant ? [] : withLevel(same, Math.min(...same.map(level)), level);
}

function withLevel<T>(images: T[], wanted: number, level: (image: T) => number): T[] {
  return images.filter((image) => level(image) === wanted);
}

/** Returns 7 for the variant `v7`, 0 for a variant of another form. An amd64 without a variant is `v1`. */
function variantLevel({ architecture, variant }: Platform): number {
  const named = variant || (DEFAULT_VARIANT[architecture] ?? (architecture === "amd64" ? "v1" : ""));
  return Number(/^v([0-9]{1,3})$/.exec(named)?.[1] ?? 0);
}
