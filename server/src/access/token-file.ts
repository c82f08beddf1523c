import { Failure, InvalidReference, InvalidValue, parseAge, parseNamePattern, parseSize } from "docker-over-ssh/builds";
import type { NamePattern } from "docker-over-ssh/builds";
import { SCOPES, type Client, type ClientLimits, type Scope } from "./client.ts";
import { readOperatorFile } from "./operator-file.ts";

/** A token of the file: its holder, and its hash. */
export interface KnownToken {
  /** SHA-256 of the token, 32 bytes */
  hash: Buffer;
  client: Client;
}

export const OPTION = "--token-file";
const TOKEN_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** The owner of all jobs on a server without tokens */
export const ANONYMOUS = "anonymous";

/** Reads --token-file. Throws a Failure `usage`, which names the invalid entry. */
export async function readTokenFile(path: string): Promise<readonly KnownToken[]> {
  const { text } = await readOperatorFile(path, OPTION);
  return parseTokens(text, path);
}

/**
 * Parses the text of a token file: a JSON list of entries with `name`, the `hash` of the token, `scopes`, and
 * optionally `images` (patterns) and `limits`. Rejects unknown keys: a misspelt limit would not limit anything. An
 * empty list is valid: it gives nobody access.
 *
 * @param path for messages
 */
export function parseTokens(text: string, path: string): readonly KnownToken[] {
  const tokens = listOf(readJson(text, path), path, "the file").map((entry, index) => {
    const name = (entry as { name?: unknown } | null)?.name;
    return parseToken(entry, `${path}: token ${typeof name === "string" ? JSON.stringify(name) : index + 1}`);
  });
  refuseTwice(
    tokens.map(({ client }) => client.name),
    path,
    "the name",
  );
  refuseTwice(
    tokens.map(({ hash }) => hash.toString("hex")),
    path,
    "the hash",
  );
  return tokens;
}

function readJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // The parser's message would quote the file.
    throw wrong(
      `${path} is not valid JSON`,
      'a list of tokens: [{"name": …, "hash": "sha256:…", "scopes": […]}]',
      error,
    );
  }
}

function parseToken(value: unknown, where: string): KnownToken {
  const entry = objectOf(value, ["name", "hash", "scopes", "images", "limits"], where);
  const { name, hash, scopes, images, limits } = entry;
  if (typeof name !== "string" || !TOKEN_NAME.test(name) || name === ANONYMOUS) {
    throw wrong(
      `${where}: the name cannot be used`,
      `letters, digits, dots, dashes and underscores, at most 64; not "${ANONYMOUS}"`,
    );
  }
  const [, digits] = typeof hash === "string" ? (/^sha256:([0-9a-f]{64})$/.exec(hash) ?? []) : [];
  if (digits === undefined) {
    throw wrong(
      `${where}: the hash is not valid`,
      "sha256: and 64 hex digits in lower case, as `serve token` writes it",
    );
  }
  const client: Client = {
    name,
    scopes: new Set(nonEmptyListOf(scopes, where, "scopes").map((scope) => parseScope(scope, where))),
    ...(images !== undefined && {
      images: nonEmptyListOf(images, where, "images").map((image) => parsePattern(image, where)),
    }),
    limits: limits === undefined ? {} : parseLimits(limits, `${where}: limits`),
  };
  return { hash: Buffer.from(digits, "hex"), client };
}

function parseScope(value: unknown, where: string): Scope {
  const scope = SCOPES.find((known) => known === value);
  if (scope !== undefined) return scope;
  throw wrong(`${where}: ${JSON.stringify(value)} is not a scope`, SCOPES.join(", "));
}

function parsePattern(value: unknown, where: string): NamePattern {
  try {
    return parseNamePattern(typeof value === "string" ? value : "");
  } catch (error) {
    if (!(error instanceof InvalidReference)) throw error;
    throw wrong(`${where}: images: ${error.message}`, "for instance registry.example.com/team/*", error);
  }
}

function parseLimits(value: unknown, where: string): ClientLimits {
  const known = ["queued", "running", "body", "memory", "cpus", "time", "network"] as const;
  const { queued, running, body, memory, cpus, time, network } = objectOf(value, known, where);
  return {
    ...(queued !== undefined && { queued: countOf(queued, `${where}: queued`) }),
    ...(running !== undefined && { running: countOf(running, `${where}: running`) }),
    ...(body !== undefined && { body: sizeOf(body, `${where}: body`) }),
    ...(memory !== undefined && { memory: sizeOf(memory, `${where}: memory`) }),
    ...(cpus !== undefined && { cpus: cpusOf(cpus, `${where}: cpus`) }),
    ...(time !== undefined && { time: timeOf(time, `${where}: time`) }),
    ...(network !== undefined && { network: networkOf(network, `${where}: network`) }),
  };
}

function countOf(value: unknown, where: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1) return value;
  throw wrong(`${where} is not a number of jobs`, "a whole number of at least 1");
}

function cpusOf(value: unknown, where: string): number {
  if (typeof value === "number" && value >= 0.01 && value <= 10_000) return value;
  throw wrong(`${where} is not a number of processors`, "a number, e.g. 1.5");
}

/** As for --max-size: powers of 1024, optionally with a B at the end. */
function sizeOf(value: unknown, where: string): number {
  const size = parsed(value, where, parseSize);
  if (Number.isSafeInteger(size) && size >= 1) return size;
  throw wrong(`${where} is not a size`, 'bytes, or a number with k, m, g or t, e.g. "500MB"');
}

function timeOf(value: unknown, where: string): number {
  const time = parsed(value, where, parseAge);
  if (time >= 1) return time;
  throw wrong(`${where} is not a time`, 'a number with s, m, h or d, e.g. "30m"');
}

function parsed(value: unknown, where: string, parse: (text: string) => number): number {
  try {
    return parse(typeof value === "string" || typeof value === "number" ? String(value) : "");
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw wrong(`${where} cannot be used`, error.message, error);
  }
}

function networkOf(value: unknown, where: string): string {
  if (value === "default" || value === "none" || value === "host") return value;
  throw wrong(`${where} is not a network of builds`, "default, none or host");
}

function objectOf<Key extends string>(
  value: unknown,
  known: readonly Key[],
  where: string,
): Partial<Record<Key, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw wrong(`${where} is not an object`, `an object with ${known.join(", ")}`);
  const unknown = Object.keys(value).filter((key) => !known.some((name) => name === key));
  if (unknown.length === 0) return value;
  throw wrong(`${where} has unknown keys: ${unknown.map((key) => JSON.stringify(key)).join(", ")}`, known.join(", "));
}

function listOf(value: unknown, where: string, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value as unknown[];
  throw wrong(`${where}: ${what} is not a list`, "a list, in brackets");
}

/** Rejects an empty list, which could mean none or all. */
function nonEmptyListOf(value: unknown, where: string, what: string): readonly unknown[] {
  const list = listOf(value, where, what);
  if (list.length > 0) return list;
  throw wrong(
    `${where}: ${what} is empty`,
    what === "images" ? "some patterns, or no images for any name" : SCOPES.join(", "),
  );
}

function refuseTwice(values: readonly string[], path: string, what: string): void {
  const twice = values.find((value, index) => values.indexOf(value) < index);
  if (twice !== undefined) throw wrong(`${path}: two tokens have ${what} ${JSON.stringify(twice)}`, "one");
}

function wrong(message: string, expected: string, cause?: unknown): Failure {
  return new Failure("usage", message, { expected, hint: `Correct the file of ${OPTION}, and try again.`, cause });
}
