import type { Descriptor } from "./manifest.ts";

/** A platform in the engine API's JSON (OCI image spec, image index, `platform`). */
export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

/** `os/arch[/variant]` in its parts. */
export function parsePlatform(platform: string): Platform {
  const [os = "", architecture = "", variant] = platform.split("/");
  return { os, architecture, ...(variant !== undefined && variant !== "" && { variant }) };
}

/**
 * Is an image of the platform `actual` what somebody asked for with `wanted`? A variant that was not asked for may be any;
 * arm64 without a variant is v8 and arm is v7 (containerd `platforms`, normalization).
 */
export function matchesPlatform(actual: string, wanted: string): boolean {
  const [has, asked] = [parsePlatform(actual), parsePlatform(wanted)];
  if (has.os !== asked.os || has.architecture !== asked.architecture) return false;
  return asked.variant === undefined || (has.variant ?? usualVariant(has.architecture)) === asked.variant;
}

function usualVariant(architecture: string): string | undefined {
  return { arm64: "v8", arm: "v7" }[architecture];
}

/** The same of an entry of an index (OCI image spec, image-index.md): one that names no platform is for none. */
export function entryMatchesPlatform({ platform }: Pick<Descriptor, "platform">, wanted: string): boolean {
  if (platform === undefined) return false;
  const { os, architecture, variant } = platform;
  return matchesPlatform([os, architecture, variant].filter(Boolean).join("/"), wanted);
}
