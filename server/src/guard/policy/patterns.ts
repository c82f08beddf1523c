import { InvalidValue, tryReference, type Reference } from "docker-over-ssh/builds";
import type { ImagePattern } from "./policy.ts";

/**
 * Parses a pattern: `alpine` is `docker.io/library/alpine` with any tag, `alpine:3.*` some of its tags,
 * `registry.example.com/*` a whole registry, `*` everything.
 *
 * @throws InvalidValue
 */
export function parseImagePattern(text: string): ImagePattern {
  // References contain no stars, so a word replaces each star while the pattern is parsed as a reference.
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

/** The parts of a pattern other than `*`. */
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
 * Returns whether a pattern allows a reference. Only the digest determines the image of a reference with a digest, so
 * it matches a pattern without a tag, or with this digest.
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

/** Returns whether a pattern allows names at a registry, e.g. at `registry.example.com:5000`. */
export function matchesHost(pattern: ImagePattern, host: string): boolean {
  const parts = partsOf(pattern);
  return parts === undefined || like(parts.host, host);
}

/** Matches `*` with any characters, and all other characters literally. */
function like(pattern: string, text: string): boolean {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.\\+?^${}()|[\]]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s").test(text);
}
