import type { Ask } from "../conversation/ask.ts";
import { formatPlatform, matchesPlatform, type Platform } from "../image/platform.ts";
import { Failure } from "../output/errors.ts";

/** Returns the platform that both sides mean, if one of them named any. Throws a `usage` Failure for two that differ. */
export function agreeOnPlatform(ask: Ask, platform: Platform | undefined): Platform | undefined {
  if (ask.platform === undefined) return platform;
  // The more precise one: linux/arm64 and linux/arm64/v8 do not contradict each other.
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
