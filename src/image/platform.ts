/** A platform in the JSON of the Engine API and of an index (OCI image spec, image-index.md, `platform`). */
export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

/** Stands for an operating system or architecture that an image's config leaves out, or gives as an empty string. */
export const UNKNOWN = "unknown";

/** The variant of an architecture that names none (containerd `platforms`, normalization). */
const DEFAULT_VARIANT: Record<string, string> = { arm64: "v8", arm: "v7" };

/**
 * Formats a platform as `os/architecture[/variant]` (OCI image spec, config.md). Some builders leave the architecture out; Docker accepts
 * such images, and here their platform is `linux/unknown`. `unknown` goes into no image and to no engine ({@link isKnownPlatform}).
 */
export function formatPlatform({
  os,
  architecture,
  variant,
}: { [part in "os" | "architecture" | "variant"]?: string | undefined }): string {
  return [os || UNKNOWN, architecture || UNKNOWN, ...(variant ? [variant] : [])].join("/");
}

/** Splits `os/architecture[/variant]` into its parts. */
export function parsePlatform(platform: string): Platform {
  const [os = "", architecture = "", variant] = platform.split("/");
  return { os, architecture, ...(variant !== undefined && variant !== "" && { variant }) };
}

/** Tells whether both operating system and architecture are known. Engines are asked for no other platform. */
export function isKnownPlatform(platform: string): boolean {
  const { os, architecture } = parsePlatform(platform);
  return os !== UNKNOWN && architecture !== UNKNOWN;
}

/** Tells whether an image for the platform `actual` serves a request for `wanted`. Without a wanted variant, any variant does. */
export function matchesPlatform(actual: string, wanted: string): boolean {
  const [has, needed] = [parsePlatform(actual), parsePlatform(wanted)];
  if (has.os !== needed.os || has.architecture !== needed.architecture) return false;
  return needed.variant === undefined || (has.variant ?? DEFAULT_VARIANT[has.architecture]) === needed.variant;
}

/** Tells whether an entry of an index serves a request for `wanted`. An entry without a platform serves none. */
export function entryMatchesPlatform({ platform }: { platform?: Platform }, wanted: string): boolean {
  if (platform === undefined) return false;
  const { os, architecture, variant } = platform;
  return matchesPlatform([os, architecture, variant].filter(Boolean).join("/"), wanted);
}

/**
 * Returns the images that run best on the platform `wanted`: same operating system and architecture, and the highest variant not above
 * the wanted one. Without a wanted variant, the lowest higher one is better than none.
 */
export function bestPlatformMatches<T extends { platform: string }>(images: readonly T[], wanted: string): T[] {
  const target = parsePlatform(wanted);
  const same = images.filter(({ platform }) => {
    const { os, architecture } = parsePlatform(platform);
    return os === target.os && architecture === target.architecture;
  });
  const level = ({ platform }: { platform: string }): number => variantLevel(parsePlatform(platform));
  const limit = variantLevel(target);
  const below = same.filter((image) => level(image) <= limit);
  if (below.length > 0) return withLevel(below, Math.max(...below.map(level)), level);
  return target.variant === undefined ? withLevel(same, Math.min(...same.map(level)), level) : [];
}

function withLevel<T>(images: T[], wanted: number, level: (image: T) => number): T[] {
  return images.filter((image) => level(image) === wanted);
}

/** Returns 7 for the variant `v7`, 0 for a variant of another form. An amd64 without a variant is `v1`. */
function variantLevel({ architecture, variant }: Platform): number {
  const named = variant ?? DEFAULT_VARIANT[architecture] ?? (architecture === "amd64" ? "v1" : "");
  return Number(/^v([0-9]{1,3})$/.exec(named)?.[1] ?? 0);
}
