/** What a variant is taken for where none is given (containerd `platforms`, normalization). */
const USUAL_VARIANT: Record<string, string> = { arm64: "v8", arm: "v7", amd64: "v1" };

/**
 * Those that run best on the platform that is wanted (`os/architecture[/variant]`): of the same system and architecture, with
 * the highest variant that is not above the wanted one. Without a wanted variant, a higher one is better than none.
 */
export function bestPlatformMatches<T extends { platform: string }>(images: readonly T[], wanted: string): T[] {
  const [os, architecture = "", variant] = wanted.split("/");
  const same = images.filter(({ platform }) => {
    const parts = platform.split("/");
    return parts[0] === os && parts[1] === architecture;
  });
  const level = ({ platform }: { platform: string }): number => variantLevel(platform.split("/")[2], architecture);
  const limit = variantLevel(variant, architecture);
  const below = same.filter((image) => level(image) <= limit);
  if (below.length > 0) return withLevel(below, Math.max(...below.map(level)), level);
  return variant === undefined ? withLevel(same, Math.min(...same.map(level)), level) : [];
}

function withLevel<T>(images: T[], wanted: number, level: (image: T) => number): T[] {
  return images.filter((image) => level(image) === wanted);
}

/** 7 for `v7`; 0 for what is not of this form. */
function variantLevel(variant: string | undefined, architecture: string): number {
  return Number(/^v([0-9]{1,3})$/.exec(variant ?? USUAL_VARIANT[architecture] ?? "")?.[1] ?? 0);
}
