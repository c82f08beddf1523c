import type { Static, TSchema } from "typebox";
import { badRequest } from "../refusal.ts";
import { strictJson } from "./strict-json.ts";

/** The keys that a call accepts, exactly as the API spells them, and whether they may be repeated. */
export type QueryShape = Readonly<Record<string, "once" | "repeated">>;

/** A query whose keys match a {@link QueryShape}. Reading an invalid value throws a Refusal 400 `query.value`. */
export interface StrictQuery {
  /** Undefined: the key is missing. The value may be empty. */
  text(key: string): string | undefined;
  /** Returns all values in order */
  all(key: string): readonly string[];
  /** Accepts `1`, `true` and `True` (docker-py), `0`, `false`, `False`, and an empty value, which is false. */
  flag(key: string, ifAbsent?: boolean): boolean;
  /** Undefined: missing, or empty */
  integer(key: string): number | undefined;
  /** Undefined: missing, or empty. Throws as `strictJson`. */
  json<Schema extends TSchema>(key: string, schema: Schema): Static<Schema> | undefined;
}

const FLAGS: Readonly<Record<string, boolean>> = {
  "1": true,
  true: true,
  True: true,
  "0": false,
  false: false,
  False: false,
  "": false,
};

/**
 * Parses a raw query, without the question mark.
 *
 * @throws Refusal 400 `query.encoding`, `query.semicolon`, `query.unknown`, `query.case`, `query.duplicate`
 */
export function parseQuery(raw: string, shape: QueryShape): StrictQuery {
  const found = new Map<string, string[]>();
  for (const [key, value] of pairs(raw)) {
    checkKey(key, shape);
    const values = found.get(key) ?? [];
    if (values.length > 0 && shape[key] === "once") {
      throw badRequest("query.duplicate", `the query has ${shown(key)} twice`);
    }
    values.push(value);
    found.set(key, values);
  }
  return reading(found);
}

function reading(found: ReadonlyMap<string, readonly string[]>): StrictQuery {
  const text = (key: string): string | undefined => found.get(key)?.[0];
  return {
    text,
    all: (key) => found.get(key) ?? [],
    flag(key, ifAbsent = false) {
      const value = text(key);
      if (value === undefined) return ifAbsent;
      const flag = Object.hasOwn(FLAGS, value) ? FLAGS[value] : undefined;
      if (flag === undefined) throw badRequest("query.value", `${shown(key)} must be 1 or 0`);
      return flag;
    },
    integer(key) {
      const value = text(key);
      if (value === undefined || value === "") return undefined;
      const number = Number(value);
      if (!/^-?\d{1,16}$/.test(value) || !Number.isSafeInteger(number)) {
        throw badRequest("query.value", `${shown(key)} must be a whole number`);
      }
      return number;
    },
    json(key, schema) {
      const value = text(key);
      return value === undefined || value === "" ? undefined : strictJson(value, schema, key);
    },
  };
}

function checkKey(key: string, shape: QueryShape): void {
  if (Object.hasOwn(shape, key)) return;
  const known = Object.keys(shape).find((name) => name.toLowerCase() === key.toLowerCase());
  if (known !== undefined) throw badRequest("query.case", `the query has ${shown(key)}: write it as "${known}"`);
  throw badRequest("query.unknown", `the query has ${shown(key)}, which this call does not accept`);
}

function pairs(raw: string): [key: string, value: string][] {
  if (raw === "") return [];
  // Older versions of Go treat it as a separator; newer ones drop the pair that contains it.
  if (raw.includes(";")) throw badRequest("query.semicolon", "the query has a semicolon: write it as %3B");
  return raw.split("&").map((pair) => {
    const equals = pair.indexOf("=");
    return equals === -1 ? [decode(pair), ""] : [decode(pair.slice(0, equals)), decode(pair.slice(equals + 1))];
  });
}

/**
 * Throws for texts that Go's and WHATWG's parsers would interpret differently: an incomplete escape, bytes that are not
 * UTF-8, a NUL.
 */
function decode(part: string): string {
  let text: string;
  try {
    text = decodeURIComponent(part.replaceAll("+", " "));
  } catch {
    throw badRequest(
      "query.encoding",
      "the query has a percent sign that does not begin an escaped character of UTF-8",
    );
  }
  if (text.includes("\0")) throw badRequest("query.encoding", "the query has a NUL character");
  return text;
}

function shown(key: string): string {
  return JSON.stringify(key.slice(0, 64));
}
