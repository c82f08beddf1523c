import { readFile } from "node:fs/promises";
import { TOKEN_USER, type Credentials } from "../engine/credentials.ts";
import { messageOf } from "../output/errors.ts";
import { hiddenCredentials } from "./hidden-credentials.ts";
import { registryKey } from "./registry-host.ts";

/** The fields about credentials in the docker config and in containers-auth.json(5). */
export interface AuthFile {
  auths: Readonly<Record<string, unknown>>;
  /** The names of the helpers that have the credentials of a registry, by registry */
  credHelpers: Readonly<Record<string, unknown>>;
  /** The helper for all other registries */
  credsStore: string | undefined;
}

/** Thrown for a file that cannot be read. The message does not show its content. */
export class UnreadableAuthFile extends Error {
  override readonly name = "UnreadableAuthFile";
}

/** Reads a file. Returns undefined if it does not exist. Throws {@link UnreadableAuthFile}. */
export async function readAuthFile(path: string): Promise<AuthFile | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw new UnreadableAuthFile(messageOf(error), { cause: error });
  });
  return text === undefined ? undefined : parseAuthFile(text);
}

/** Parses the JSON of a file. Throws {@link UnreadableAuthFile}. */
export function parseAuthFile(text: string): AuthFile {
  const fields = asRecord(text.trim() === "" ? {} : parseJson(text));
  const { credsStore } = fields;
  return {
    auths: asRecord(fields["auths"]),
    credHelpers: asRecord(fields["credHelpers"]),
    credsStore: typeof credsStore === "string" && credsStore !== "" ? credsStore : undefined,
  };
}

/** Returns whether a file or its helpers may have credentials. */
export function hasCredentials({ auths, credHelpers, credsStore }: AuthFile): boolean {
  const entries = Object.values(auths).map(credentialsIn);
  return (
    credsStore !== undefined ||
    Object.keys(credHelpers).length > 0 ||
    entries.some((credentials) => credentials !== undefined)
  );
}

/**
 * Returns the helper that a file names for a registry, as in `docker-credential-NAME`. Returns undefined if the credentials are in the
 * file.
 */
export function helperFor({ credHelpers, credsStore }: AuthFile, key: string): string | undefined {
  const named = entryOf(credHelpers, key);
  return typeof named === "string" ? named || undefined : credsStore;
}

/** Returns the credentials that a file has for a registry. */
export function fileCredentials({ auths }: AuthFile, key: string): Credentials | undefined {
  return credentialsIn(entryOf(auths, key));
}

/**
 * Returns the entry under the registry's name, else under a URL of it. An entry for a part of a registry (Podman's `quay.io/team`) does not
 * apply to the whole registry.
 */
function entryOf(entries: Readonly<Record<string, unknown>>, key: string): unknown {
  if (Object.hasOwn(entries, key)) return entries[key];
  const ofWhole = (name: string): boolean => name.includes("://") || /^[^/]*(?:\/v[12])?\/?$/.test(name);
  const found = Object.keys(entries).find((name) => ofWhole(name) && registryKey(name) === key);
  return found === undefined ? undefined : entries[found];
}

/** Reads an entry of `auths`: `auth` is `USER:PASSWORD` in base64. `identitytoken` takes precedence over a password. */
function credentialsIn(entry: unknown): Credentials | undefined {
  const { auth, identitytoken: token } = asRecord(entry);
  if (typeof token === "string" && token !== "") return hiddenCredentials(TOKEN_USER, token);
  if (typeof auth !== "string") return undefined;
  const decoded = Buffer.from(auth, "base64").toString("utf8");
  const colon = decoded.indexOf(":");
  if (colon < 1) return undefined;
  return hiddenCredentials(decoded.slice(0, colon), decoded.slice(colon + 1).replace(/\0+$/, ""));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UnreadableAuthFile("it is not JSON"); // V8's message would show a part of it
  }
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
