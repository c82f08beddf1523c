import { Type, type Static, type TObject, type TProperties, type TSchema } from "typebox";
import { Errors } from "typebox/value";
import { badRequest } from "../refusal.ts";

/** Maximum levels of objects and arrays. docker's requests have five. */
const MAX_DEPTH = 16;

/** Returns the schema of an object with these properties and no others. */
export function strictObject<Properties extends TProperties>(properties: Properties): TObject<Properties> {
  return Type.Object(properties, { additionalProperties: false });
}

/**
 * Parses JSON that has one meaning for every parser: UTF-8, no duplicate key in an object, and the shape of `schema`.
 * Go's decoder uses the last of two equal keys, and accepts `Name` for `name`, so a filter that reads only one of them
 * sees another request than the engine. An object whose schema is created with {@link strictObject} has no unknown
 * keys, and therefore no keys in another case.
 *
 * @param what for messages, e.g. `the body` or `buildargs`
 * @throws Refusal 400 `json.syntax`, `json.depth`, `json.duplicate`, `json.case`, `json.unknown`, `json.type`
 */
export function strictJson<Schema extends TSchema>(
  given: string | Buffer,
  schema: Schema,
  what: string,
): Static<Schema> {
  const text = typeof given === "string" ? given : decode(given, what);
  const value = parse(text, what);
  refuseDuplicates(text, what);
  checkShape(schema, value, what);
  return value as Static<Schema>;
}

function decode(given: Buffer, what: string): string {
  try {
    // The decoder keeps a byte order mark, which is refused later, because JSON has none.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(given);
  } catch {
    throw badRequest("json.syntax", `${what} is not UTF-8`);
  }
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw badRequest("json.syntax", `${what} is not JSON`);
  }
}

/** Strings, and structural characters of JSON. The text is already known to be JSON. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;

/** JSON.parse silently uses the last of two equal keys. */
function refuseDuplicates(text: string, what: string): void {
  // A set for each open object, null for each open array
  const open: (Set<string> | null)[] = [];
  let last = "";
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === "{" || token === "[") {
      open.push(token === "{" ? new Set() : null);
      if (open.length > MAX_DEPTH) throw badRequest("json.depth", `${what} is nested deeper than ${MAX_DEPTH} levels`);
    } else if (token === "}" || token === "]") {
      open.pop();
    } else if (token === ":") {
      const key = JSON.parse(last) as string;
      const keys = open.at(-1);
      if (keys?.has(key) === true) {
        throw badRequest("json.duplicate", `${what} has the key ${quoted(key)} twice`);
      }
      keys?.add(key);
    }
    last = token;
  }
}

function checkShape(schema: TSchema, value: unknown, what: string): void {
  for (const error of Errors(schema, value)) {
    if (error.keyword === "additionalProperties") {
      const keys = (error.params as { additionalProperties: readonly string[] }).additionalProperties;
      refuseKey(keys[0] ?? "", schema, `${what}${error.instancePath}`);
    }
    // Each unknown key is reported twice: first as a schema that is false.
    if (error.keyword === "boolean") continue;
    throw badRequest("json.type", `${what}${error.instancePath} ${error.message}`);
  }
}

function refuseKey(key: string, schema: TSchema, at: string): never {
  const known = knownKeys(schema).find((name) => name.toLowerCase() === key.toLowerCase());
  if (known !== undefined) {
    throw badRequest("json.case", `${at} has the key ${quoted(key)}: write it as "${known}"`);
  }
  throw badRequest("json.unknown", `${at} has the key ${quoted(key)}, which this guard does not know`);
}

/** Returns all names of properties in a schema, in any object: sufficient for a message. */
function knownKeys(schema: unknown): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  const { properties, ...rest } = schema as { properties?: object };
  return [
    ...Object.keys(properties ?? {}),
    ...[...Object.values(properties ?? {}), ...Object.values(rest)].flatMap(knownKeys),
  ];
}

/** Removes control characters, and limits the length for a message */
function quoted(key: string): string {
  return JSON.stringify(key.slice(0, 64));
}
