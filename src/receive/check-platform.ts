import type { About } from "../conversation/messages.ts";
import type { PlatformChoice } from "../image/index-content.ts";
import { formatPlatform, isKnownPlatform, matchesPlatform, type Platform } from "../image/platform.ts";
import { Failure } from "../output/errors.ts";
import type { Warning } from "../output/events.ts";
import type { Target } from "./target.ts";

interface Requested {
  platform?: Platform | undefined;
  platforms?: PlatformChoice | undefined;
}

/** Throws a Failure if the image, or its index, is not for the requested platforms. Warns if this engine cannot run it. */
export function checkPlatforms(
  { platform, index }: Pick<About, "platform" | "index">,
  requested: Requested,
  target: Target,
  warn: (warning: Warning) => void,
): void {
  const { platforms = [] } = index ?? {};
  const several = requested.platforms === "all" ? undefined : requested.platforms;
  if (platforms.length === 0 && several === undefined) checkOne(platform, requested.platform, target, warn);
  else checkSeveral(platforms.length === 0 ? [platform] : platforms, several, target, warn);
}

function checkSeveral(
  offered: readonly Platform[],
  requested: readonly Platform[] | undefined,
  target: Target,
  warn: (warning: Warning) => void,
): void {
  const missing = requested?.find((wanted) => !offered.some((one) => matchesPlatform(one, wanted)));
  const all = offered.map(formatPlatform).join(", ");
  if (missing !== undefined) {
    throw new Failure("refused", `the remote side sends the image for ${all}, not for ${formatPlatform(missing)}`, {
      expected: "the requested platforms",
      hint: "Install the same version on both sides.",
    });
  }
  const { platform: own } = target;
  if (own === undefined || offered.length === 0 || offered.some((one) => matchesPlatform(one, own))) return;
  warn({ code: "platform-differs", platform: all, enginePlatform: formatPlatform(own) });
}

function checkOne(
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
      hint: "Omit --platform, or build the image for that platform on the sending side.",
    });
  }
  if (!isKnownPlatform(offered)) {
    warn({ code: "platform-unknown", platform });
  } else if (target.platform !== undefined && !matchesPlatform(offered, target.platform)) {
    warn({ code: "platform-differs", platform, enginePlatform: formatPlatform(target.platform) });
  }
}
