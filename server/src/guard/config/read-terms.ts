import { Failure, InvalidValue } from "docker-over-ssh/builds";
import { keyOf, TERMS, type Terms } from "./terms.ts";

/**
 * Parses the terms of a configuration or of --tenant.
 *
 * @param where for messages, e.g. `tenants.json: tenant "ci"`
 * @param nameOf returns the spelling of a key for messages: `allowBase` or `allow-base`
 * @throws Failure `usage`
 */
export function readTerms(
  values: Readonly<Record<string, unknown>>,
  where: string,
  nameOf: (key: string) => string = (key) => key,
): Terms {
  const terms: { [key: string]: unknown } & Terms = {};
  for (const option of TERMS) {
    const key = keyOf(option);
    const value = values[key];
    if (value === undefined) continue;
    const at = `${where}: ${nameOf(key)}`;
    if (option.repeats) terms[key] = listOf(value, at).map((one) => parsed(one, at, option.parse));
    else if (option.flags.includes("<")) terms[key] = parsed(value, at, option.parse);
    else terms[key] = flag(value, at);
  }
  return terms;
}

/** All keys of terms */
export const TERM_KEYS: readonly string[] = TERMS.map(keyOf);

function listOf(value: unknown, where: string): readonly unknown[] {
  if (Array.isArray(value)) return value as unknown[];
  throw wrong(`${where} is not a list`, "a list, in brackets");
}

function parsed(value: unknown, where: string, parse: (text: string) => unknown = (text) => text): unknown {
  if (typeof value !== "string" && typeof value !== "number")
    throw wrong(`${where} is not a text`, "a text or a number");
  try {
    return parse(String(value));
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw wrong(`${where}: ${JSON.stringify(value)} cannot be used`, error.message, error);
  }
}

function flag(value: unknown, where: string): boolean {
  if (typeof value === "boolean") return value;
  throw wrong(`${where} is neither true nor false`, "true or false");
}

/** Returns a Failure for an invalid configuration or option. */
export function wrong(message: string, expected: string, cause?: unknown): Failure {
  return new Failure("usage", message, { expected: expected.replace(/^Expected /, "").replace(/\.$/, ""), cause });
}
