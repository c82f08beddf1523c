import type { Ask } from "../conversation/ask.ts";
import type { PlatformChoice } from "../image/index-content.ts";
import { formatPlatform, type Platform } from "../image/platform.ts";
import { Failure } from "../output/errors.ts";
import { agreeOnPlatform } from "./agree-on-platform.ts";
import type { WantedPlatforms } from "./source.ts";

/** Returns the platforms that either side has named, if any. Throws a `usage` Failure if the two sides contradict each other. */
export function agreeOnPlatforms(ask: Ask, own: WantedPlatforms): WantedPlatforms {
  const [receiverChoice, senderChoice] = [ask.platforms, own.platforms];
  if (receiverChoice === undefined && senderChoice === undefined)
    return { platform: agreeOnPlatform(ask, own.platform) };
  const isOne = [receiverChoice ?? ask.platform, senderChoice ?? own.platform].includes(undefined);
  const platforms = receiverChoice ?? senderChoice;
  if (isOne || keyOf(receiverChoice) === keyOf(senderChoice)) return { platforms };
  throw new Failure("usage", `the sending side has ${optionsOf(own)}, the receiving side ${optionsOf(ask)}`, {
    expected: "the same platforms, or none on one side",
    hint: "Give --platform or --all-platforms on one side only.",
  });
}

function keyOf(choice: PlatformChoice | undefined): string {
  return choice === undefined || choice === "all" ? String(choice) : choice.map(formatPlatform).toSorted().join();
}

function optionsOf({
  platform,
  platforms,
}: {
  platform?: Platform | undefined;
  platforms?: PlatformChoice | undefined;
}): string {
  if (platforms === "all") return "--all-platforms";
  return (platforms ?? (platform === undefined ? [] : [platform]))
    .map((one) => `--platform ${formatPlatform(one)}`)
    .join(" ");
}
