/** A platform, as in the JSON of the Engine API and of an index (OCI image spec, image-index.md, `platform`). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** Stands for an operating system or architecture that is missing or empty in an image's config. */
export const UNKNOWN = "unknown";

/** The default variants of architectures (containerd `platforms`, normalization). */
const DEFAULT_VARIANT: Record<string, string> = { arm64: "v8", arm: "v7" };

const FORM = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9.]+))?$/;

/** Parses `os/architecture[/variant]` (OCI image spec, config.md); returns undefined for other text. */
export function parsePlatform(text: string): Platform | undefined {
  const [, os, architecture, variant] = FORM.exec(text) ?? [];
  return os === undefined ? undefined : platformOf({ os, architecture, variant });
}

/**
 * Creates a platform from its parts. A missing operating system or architecture becomes `unknown`: some builders omit the architecture, and
 * Docker accepts such images. `unknown` is never written into an image or sent to an engine ({@link isKnownPlatform}).
 */
export function platformOf({ os, architecture, variant }: { [part in keyof Platform]?: string | undefined }): Platform {
  return { os: os || UNKNOWN, architecture: architecture || UNKNOWN, ...(variant && { variant }) };
}

/** Formats a platform in the syntax of {@link parsePlatform}. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant ? [variant] : [])].join("/");
}

/** Returns whether both operating system and architecture are known. Engines are queried only for such platforms. */
export function isKnownPlatform({ os, architecture }: Platform): boolean {
  return os !== UNKNOWN && architecture !== UNKNOWN;
}

export function isSamePlatform(one: Platform, other: Platform): boolean {
  return formatPlatform(one) === formatPlatform(other);
}

/** Returns whether an image for the platform `actual` matches a request for `wanted`. Without a wanted variant, any variant does. */
export function matchesPlatform(actual: Platform, wanted: Platform): boolean {
  if (actual.os !== wanted.os || actual.architecture !== wanted.architecture) return false;
  return !wanted.variant || (actual.variant || DEFAULT_VARIANT[actual.architecture]) === wanted.variant;
}

/** Returns whether an entry of an index matches a request for `wanted`. An entry without a platform does not. */
export function entryMatchesPlatform({ platform }: { platform?: Platform }, wanted: Platform): boolean {
  return platform !== undefined && matchesPlatform(platform, wanted);
}

/**
 * Returns the images that run best on the platform `wanted`: same operating system and architecture, and the highest variant that is not
 * above the wanted one. Without a wanted variant, falls back to the lowest higher one.
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
