/** An image reference, `[domain/]path[:tag][@digest]`, in the grammar of the distribution project's `reference` package, which Docker follows. */
export interface Reference {
  /** Verbatim. */
  given: string;
  /** Registry host with its port, `docker.io` by default. */
  domain: string;
  /** All path components, `library/app` for a bare `app` on Docker Hub. */
  path: string;
  /** `latest` by default, undefined for a reference with a digest alone. */
  tag?: string;
  digest?: string;
}

/** Thrown for text that is not a reference. The message states the reason. */
export class InvalidReference extends Error {
  override readonly name = "InvalidReference";
}

const DOMAIN =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const ID = /^[0-9a-f]{64}$/;
/** Characters of domain and path together. */
const MAX_NAME = 255;
const DEFAULT_DOMAIN = "docker.io";

/** Parses a reference as the docker CLI does. Throws {@link InvalidReference}. */
export function parseReference(given: string): Reference {
  const fail = (why: string): never => {
    throw new InvalidReference(`"${given}" is not an image reference: ${why}`);
  };
  if (given === "") fail("it is empty");
  const [beforeDigest = "", digest, ...more] = given.split("@");
  if (more.length > 0 || (digest !== undefined && !DIGEST.test(digest))) fail("the text after the @ is not a digest");
  const colon = beforeDigest.lastIndexOf(":");
  const hasTag = colon > beforeDigest.lastIndexOf("/");
  const tag = hasTag ? beforeDigest.slice(colon + 1) : undefined;
  const name = hasTag ? beforeDigest.slice(0, colon) : beforeDigest;
  if (tag !== undefined && !TAG.test(tag)) fail(`"${tag}" is not a tag`);
  if (ID.test(name) || name === "sha256") fail("it is an image ID, not a name");
  const { domain, path } = splitDomain(name);
  if (!DOMAIN.test(domain)) fail(`"${domain}" is not a registry host`);
  if (path === "") fail("it has no name");
  for (const component of path.split("/")) {
    if (COMPONENT.test(component)) continue;
    fail(/[A-Z]/.test(component) ? `"${component}" must be in lower case` : `"${component}" is not a name`);
  }
  if (domain.length + 1 + path.length > MAX_NAME) fail(`its name is longer than ${MAX_NAME} characters`);
  const chosen = tag ?? (digest === undefined ? "latest" : undefined);
  return {
    given,
    domain,
    path,
    ...(chosen === undefined ? {} : { tag: chosen }),
    ...(digest === undefined ? {} : { digest }),
  };
}

export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** Parses a reference; returns undefined for text that is not a reference. */
export function tryReference(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch (error) {
    if (error instanceof InvalidReference) return undefined;
    throw error;
  }
}

function splitDomain(name: string): { domain: string; path: string } {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(0, slash));
  // The first component is a host if it has a dot, a port or an upper-case letter, or is "localhost".
  const isHost = slash !== -1 && (/[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase());
  const domain = isHost ? first.replace(/^index\.docker\.io$/, DEFAULT_DOMAIN) : DEFAULT_DOMAIN;
  const path = isHost ? name.slice(slash + 1) : name;
  return { domain, path: domain === DEFAULT_DOMAIN && path !== "" && !path.includes("/") ? `library/${path}` : path };
}

/** Returns domain and path without the default parts (`app` for `docker.io/library/app`), as engines list names. */
export function familiarName({ domain, path }: Reference): string {
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}`;
  return path.startsWith("library/") ? path.slice("library/".length) : path;
}

/** Returns the reference in full, e.g. `docker.io/library/app:latest`. Equal references have equal full names. */
export function fullName({ domain, path, tag, digest }: Reference): string {
  return `${domain}/${path}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/**
 * Returns the name with which an engine can tag an image: the verbatim name, but with a tag and without a digest. Returns undefined for a
 * reference with a digest but no tag. Does not return the full name, because for Podman, `app` means `localhost/app` if that exists, and
 * Docker Hub's `app` otherwise.
 */
export function taggableName({ given, tag }: Reference): string | undefined {
  const [named = ""] = given.split("@");
  if (tag === undefined) return undefined;
  return named.endsWith(`:${tag}`) ? named : `${named}:${tag}`;
}
