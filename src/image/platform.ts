/** Stands for the part of a platform that an image's config leaves out, or has as an empty text. */
export const UNKNOWN = "unknown";

/**
 * A platform as this program passes it on, `os/architecture[/variant]` (OCI image spec, config.md). Some builders leave the architecture
 * out: Docker takes such images, and so they have a platform here as well, `linux/unknown`. Nothing of that goes into an image, or
 * to an engine ({@link isKnownPlatform}).
 */
export function formatPlatform({
  os,
  architecture,
  variant,
}: { [part in "os" | "architecture" | "variant"]?: string | undefined }): string {
  return [os || UNKNOWN, architecture || UNKNOWN, ...(variant ? [variant] : [])].join("/");
}

/** Whether both its system and its architecture are named: an engine is asked for no other. */
export function isKnownPlatform(platform: string): boolean {
  const [os, architecture] = platform.split("/");
  return os !== UNKNOWN && architecture !== UNKNOWN;
}
