import type { Ask } from "../conversation/ask.ts";
import { formatPlatform, matchesPlatform, type Platform } from "../image/platform.ts";
import { Failure } from "../output/errors.ts";

/** Returns the platform that either side has named, if any. Throws a `usage` Failure if the two sides contradict each other. */
export function agreeOnPlatform(ask: Ask, platform: Platform | undefined): Platform | undefined {
  if (ask.platform === undefined) return platform;
  // Returns the more precise platform: linux/arm64 and linux/arm64/v8 do not contradict each other.
  if (platform === undefined || matchesPlatform(ask.platform, platform)) return ask.platform;
  if (matchesPlatform(platform, ask.platform)) return platform;
  throw new Failure(
    "usage",
    `the sending side has --platform ${formatPlatform(platform)}, the receiving side --platform ${formatPlatform(ask.platform)}`,
    {
      expected: "one platform, or none on one side",
      hint: "Give --platform on one side only.",
    },
  );
}
