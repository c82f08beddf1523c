import { familiarName, fullName, InvalidReference, parseReference, type Reference } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";

/** A pattern of names that may be built (--allow). */
export interface NamePattern {
  /** As it was typed */
  given: string;
  matches(name: Reference): boolean;
}

/** Registry host and path of a pattern, and its tag: letters as in references, with `*` and `**` for any. */
const FORM = /^[A-Za-z0-9.:/_*-]{1,300}$/;

/**
 * Parses a pattern: a name in which `*` stands for any characters but `/` and `:`, and `**` for any. Without a tag it matches all tags. It is
 * completed as names are: `team/*` is `docker.io/team/*`, `*` is `docker.io/library/*`; `**` alone is any name. Throws {@link InvalidReference}.
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
  // Not the text as it was typed: a name has several spellings, and all of them mean the same image.
  return { given, matches: (reference) => reference.digest === undefined && expression.test(fullName(reference)) };
}

function asExpression(pattern: string): string {
  return pattern
    .split(/(\*+)/)
    .map((part) => (part === "*" ? "[^/:]*" : part.startsWith("**") ? ".*" : part.replaceAll(/[.]/g, "\\.")))
    .join("");
}

/** Parses NAME, which becomes the name of an image. Throws a Failure `usage` for anything else, and for one with a digest. */
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

/** Throws a Failure `refused` for a name that no pattern matches. Does not tell the patterns: they may name what others build. */
export function refuseName(name: Reference, patterns: readonly NamePattern[]): void {
  if (patterns.some((pattern) => pattern.matches(name))) return;
  throw new Failure("refused", `this key may not build ${fullName(name)}`, {
    expected: "a name that --allow in authorized_keys matches",
    hint: "Ask whoever has set up the key.",
  });
}
