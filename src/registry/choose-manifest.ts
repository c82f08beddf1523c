import type { Descriptor, Index } from "../image/manifest.ts";
import { formatPlatform, type Platform } from "../image/platform.ts";
import { Failure } from "../output/errors.ts";

/** The maximum number of platforms in a message. */
const MAX_LISTED = 10;

/** Chooses an index's manifest for a platform. Throws an `image-not-found` Failure if there is none. */
export function chooseManifest({ manifests }: Index, wanted: Platform): Descriptor {
  const { os, architecture, variant } = wanted;
  const fitting = manifests.filter(({ platform }) => platform?.os === os && platform?.architecture === architecture);
  const exact = fitting.find(({ platform }) => platform?.variant === variant);
  const found = exact ?? fitting.find(({ platform }) => variant === undefined || platform?.variant === undefined);
  if (found !== undefined) return found;
  const platforms = manifests.flatMap(({ platform }) =>
    platform === undefined ? [] : [`${platform.os}/${platform.architecture}`.slice(0, 40)],
  );
  throw new Failure("image-not-found", `the image has no variant for ${formatPlatform(wanted)}`, {
    expected:
      platforms.length > 0
        ? `one of ${platforms.slice(0, MAX_LISTED).join(", ")}`
        : "an index that names the platforms of its manifests",
    hint: "Choose one with --platform.",
  });
}
