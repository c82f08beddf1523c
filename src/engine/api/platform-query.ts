import { isKnownPlatform, type Platform } from "../../image/platform.ts";
import { isAtLeast } from "../compare-versions.ts";
import type { DockerApi } from "./docker-api.ts";

/** API versions that added a platform to a call (moby `docs/api/version-history.md`); tested with Docker 28.5 and 29.7. */
export const INSPECT_PLATFORM = "1.49";
export const PUSH_PLATFORM = "1.46";
export const LOAD_PLATFORM = "1.48";
export const SAVE_PLATFORM = "1.48";

/** Returns the platform for a call's query; undefined for an unknown platform, and if the engine's API is older than `since`. */
export function platformQuery(api: DockerApi, platform: Platform | undefined, since: string): Platform | undefined {
  if (platform === undefined || !isKnownPlatform(platform) || !isAtLeast(api.version ?? "", since)) return undefined;
  return platform;
}
