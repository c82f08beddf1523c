import { formatPlatform, isKnownPlatform, matchesPlatform, type Platform } from "../image/platform.ts";
import { Failure } from "../output/errors.ts";
import type { Warning } from "../output/events.ts";
import type { Target } from "./target.ts";

/** Throws a Failure if a requested platform is not among those of an image with its index. Warns if this engine can run none. */
export function checkPlatforms(
  offered: readonly Platform[],
  requested: readonly Platform[] | undefined,
  target: Target,
  warn: (warning: Warning) => void,
): void {
  const missing = requested?.find((wanted) => !offered.some((one) => matchesPlatform(one, wanted)));
  const all = offered.map(formatPlatform).join(", ");
  if (missing !== undefined) {
    throw new Failure("refused", `the remote side sends the image for ${all}, not for ${formatPlatform(missing)}`, {
      expected: "the platforms that were asked for",
      hint: "Install the same version on both sides.",
    });
  }
  const { platform: own } = target;
  if (own === undefined || offered.length === 0 || offered.some((one) => matchesPlatform(one, own))) return;
  warn({ code: "platform-differs", platform: all, enginePlatform: formatPlatform(own) });
}

/** Throws a Failure if the image is not for the requested platform. Warns if this engine cannot run it. */
export function checkPlatform(
  offered: Platform,
  requested: Platform | undefined,
  target: Target,
  warn: (warning: Warning) => void,
): void {
  const platform = formatPlatform(offered);
  if (requested !== undefined && !matchesPlatform(offered, requested)) {
    const wanted = formatPlatform(requested);
    throw new Failure("refused", `the remote side sends the image for ${platform}, not for ${wanted}`, {
      expected: `a variant for ${wanted}`,
      hint: "Leave --platform out, or build the image for that platform on the sending side.",
    });
  }
  if (!isKnownPlatform(offered)) {
    warn({ code: "platform-unknown", platform });
  } else if (target.platform !== undefined && !matchesPlatform(offered, target.platform)) {
    warn({ code: "platform-differs", platform, enginePlatform: formatPlatform(target.platform) });
  }
}
