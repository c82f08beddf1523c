import { InvalidValue, tryReference, type Reference } from "docker-over-ssh/builds";
import type { ImagePattern } from "./policy.ts";

/**
 * Reads a pattern as people write it: `alpine` is `docker.io/library/alpine` with any tag, `alpine:3.*` some of its tags, `registry.example.com/*`
 * all of a registry, `*` everything.
 *
 * @throws InvalidValue
 */
export function parseImagePattern(text: string): ImagePattern {
  // References have no stars, so a word stands for each star while the pattern is parsed as a reference.
  const STAR = "starstar";
  if (text === "*") return text;
  if (/[^\w./:@*-]/.test(text) || text.includes(STAR))
    throw new InvalidValue("expected the name of an image, in which * stands for any characters");
  const reference = tryReference(text.replaceAll("*", STAR));
  if (reference === undefined)
    throw new InvalidValue("expected the name of an image, in which * stands for any characters");
  const { domain, path, tag, digest } = reference;
  const hasTag = tag !== undefined && text.replaceAll("*", STAR).includes(`:${tag}`);
  const name = `${domain}/${path}${hasTag ? `:${tag}` : ""}${digest === undefined ? "" : `@${digest}`}`;
  return name.replaceAll(STAR, "*");
}

/** The parts of a pattern that is not `*` alone. */
export interface PatternParts {
  /** With its port */
  host: string;
  path: string;
  /** Undefined: any */
  tag: string | undefined;
  digest: string | undefined;
}

/** Returns the parts of a pattern; undefined for `*`, which allows everything. */
export function partsOf(pattern: ImagePattern): PatternParts | undefined {
  if (pattern === "*") return undefined;
  const [, host = "", path = "", tag, digest] = /^([^/]*)\/([^:@]*)(?::([^@]*))?(?:@(.*))?$/.exec(pattern) ?? [];
  return { host, path, tag, digest };
}

/**
 * Whether a pattern allows a reference. Only the digest decides what a reference with a digest means, so it matches a pattern without a tag, or with this
 * digest.
 */
export function matchesPattern(pattern: ImagePattern, { domain, path, tag, digest }: Reference): boolean {
  const parts = partsOf(pattern);
  if (parts === undefined) return true;
  if (!like(parts.host, domain) || !like(parts.path, path)) return false;
  if (parts.digest !== undefined) return parts.digest === digest;
  if (parts.tag === undefined) return true;
  return digest === undefined && tag !== undefined && like(parts.tag, tag);
}

export function matchesAny(patterns: readonly ImagePattern[], reference: Reference): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, reference));
}

/** Whether a pattern allows names at a registry, e.g. at `registry.example.com:5000`. */
export function matchesHost(pattern: ImagePattern, host: string): boolean {
  const parts = partsOf(pattern);
  return parts === undefined || like(parts.host, host);
}

/** `*` stands for any characters, all others for themselves. */
function like(pattern: string, text: string): boolean {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.\\+?^${}()|[\]]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s").test(text);
}
