import type { Descriptor, Index } from "../image/manifest.ts";
import { Failure } from "../output/errors.ts";

/** The most platforms in a message. */
const MAX_LISTED = 10;

/** Chooses an index's manifest for a platform (`os/arch[/variant]`). Throws an `image-not-found` Failure when there is none. */
export function chooseManifest({ manifests }: Index, wanted: string): Descriptor {
  const [os, architecture, variant] = wanted.split("/");
  const fitting = manifests.filter(({ platform }) => platform?.os === os && platform?.architecture === architecture);
  const exact = fitting.find(({ platform }) => platform?.variant === variant);
  const found = exact ?? fitting.find(({ platform }) => variant === undefined || platform?.variant === undefined);
  if (found !== undefined) return found;
  const platforms = manifests.flatMap(({ platform }) =>
    platform === undefined ? [] : [`${platform.os}/${platform.architecture}`.slice(0, 40)],
  );
  throw new Failure("image-not-found", `the image has no variant for ${wanted}`, {
    expected:
      platforms.length > 0
        ? `one of ${platforms.slice(0, MAX_LISTED).join(", ")}`
        : "an index that names the platforms of its manifests",
    hint: "Choose one with --platform.",
  });
}
