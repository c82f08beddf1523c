import { familiarName, fullName, InvalidReference, parseReference, type Reference } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";

/** A pattern of names that may be built (--allow). */
export interface NamePattern {
  /** Verbatim from the command line */
  given: string;
  matches(name: Reference): boolean;
}

/** Registry host, path and tag of a pattern: the characters of references, and `*`. */
const FORM = /^[A-Za-z0-9.:/_*-]{1,300}$/;

/**
 * Parses a pattern: a name in which `*` matches any characters except `/` and `:`, and `**` matches any characters. A pattern without a tag
 * matches all tags. Patterns are completed like names: `team/*` is `docker.io/team/*`, and `*` is `docker.io/library/*`. `**` alone matches
 * any name. Throws {@link InvalidReference}.
 */
export function parseNamePattern(given: string): NamePattern {
  if (!FORM.test(given)) throw new InvalidReference(`"${given}" is not a pattern of names`);
  const colon = given.lastIndexOf(":");
  const hasTag = colon > given.lastIndexOf("/");
  const name = hasTag ? given.slice(0, colon) : given;
  const tag = hasTag ? given.slice(colon + 1) : "*";
  const [first = "", ...others] = name.split("/");
  const hasHost = first === "**" || (others.length > 0 && (/[.:]/.test(first) || first === "localhost"));
  const host = hasHost ? first : "docker.io";
  const path = hasHost ? others.join("/") || "**" : others.length === 0 ? `library/${first}` : name;
  const expression = new RegExp(`^${asExpression(`${host}/${path}`)}:${asExpression(tag)}$`);
  // Match the full name instead of the given text, because a name has several spellings for the same image.
  return { given, matches: (reference) => reference.digest === undefined && expression.test(fullName(reference)) };
}

function asExpression(pattern: string): string {
  return pattern
    .split(/(\*+)/)
    .map((part) => (part === "*" ? "[^/:]*" : part.startsWith("**") ? ".*" : part.replaceAll(/[.]/g, "\\.")))
    .join("");
}

/** Parses NAME, which becomes the name of an image. Throws a Failure `usage` for an invalid name, or for one with a digest. */
export function readName(given: string): Reference {
  let name: Reference;
  try {
    name = parseReference(given);
  } catch (error) {
    if (!(error instanceof InvalidReference)) throw error;
    throw new Failure("usage", error.message, {
      expected: "NAME[:TAG]",
      hint: "For instance team/app:v2.",
      cause: error,
    });
  }
  if (name.digest === undefined) return name;
  throw new Failure("usage", `${JSON.stringify(given)} has a digest, which an image gets when it is built`, {
    expected: "NAME[:TAG]",
    hint: `For instance ${familiarName(name)}:v2.`,
  });
}

/**
 * Throws a Failure `refused` for a name that no pattern matches. The message does not contain the patterns, which may name images of other
 * people.
 */
export function refuseName(name: Reference, patterns: readonly NamePattern[]): void {
  if (patterns.some((pattern) => pattern.matches(name))) return;
  throw new Failure("refused", `this key may not build ${fullName(name)}`, {
    expected: "a name that --allow in authorized_keys matches",
    hint: "Ask the person who set up the key.",
  });
}
