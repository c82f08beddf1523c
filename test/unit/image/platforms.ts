import { parsePlatform, type Platform } from "../../../src/image/platform.ts";

/** Returns the platform of a text, e.g. `linux/arm64/v8`. */
export function asPlatform(text: string): Platform {
  const platform = parsePlatform(text);
  if (platform === undefined) throw new Error(`"${text}" is no platform`);
  return platform;
}

export const AMD64 = asPlatform("linux/amd64");
export const ARM64 = asPlatform("linux/arm64");
