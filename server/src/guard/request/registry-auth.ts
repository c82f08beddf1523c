import { Type } from "typebox";
import type { Credentials } from "../build-request.ts";
import { Refusal } from "../refusal.ts";
import { strictJson, strictObject } from "./strict-json.ts";

/** AuthConfig of the API. `auth` contains username and password in base64; docker clears it, some clients do not. */
export const AUTH_CONFIG = strictObject({
  username: Type.Optional(Type.String()),
  password: Type.Optional(Type.String()),
  auth: Type.Optional(Type.String()),
  // docker-py sends null after a login without an email.
  email: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  serveraddress: Type.Optional(Type.String()),
  identitytoken: Type.Optional(Type.String()),
  registrytoken: Type.Optional(Type.String()),
  // docker-py passes on the answer of a credential store, in its spelling.
  ServerAddress: Type.Optional(Type.String()),
  Username: Type.Optional(Type.String()),
  Password: Type.Optional(Type.String()),
  IdentityToken: Type.Optional(Type.String()),
});
const OTHER_SPELLINGS = {
  serveraddress: "ServerAddress",
  username: "Username",
  password: "Password",
  identitytoken: "IdentityToken",
} as const;
/** The docker CLI 20.10 sends `null` for a BuildKit build without credentials. */
const AUTH_CONFIGS = Type.Union([Type.Record(Type.String(), AUTH_CONFIG), Type.Null()]);

/** Maximum bytes of base64. Tokens of cloud registries have some thousand. */
const MAX_AUTH = 64 * 1024;

/**
 * Parses `X-Registry-Auth`. Undefined: no header, or no credentials in it. Throws a Refusal 400 `auth.invalid`, or as
 * `strictJson`.
 */
export function readRegistryAuth(header: string | undefined): Credentials | undefined {
  if (header === undefined || header === "") return undefined;
  return credentialsOf(strictJson(decode(header, "X-Registry-Auth"), AUTH_CONFIG, "X-Registry-Auth"));
}

/** Parses `X-Registry-Config`: credentials by registry. Throws as {@link readRegistryAuth}. */
export function readRegistryConfig(header: string | undefined): Record<string, Credentials> {
  if (header === undefined || header === "") return {};
  const configs = strictJson(decode(header, "X-Registry-Config"), AUTH_CONFIGS, "X-Registry-Config");
  const found = Object.entries(configs ?? {}).map(([registry, config]) => [registry, credentialsOf(config)] as const);
  return Object.fromEntries(found.filter((entry): entry is [string, Credentials] => entry[1] !== undefined));
}

type AuthConfig = ReturnType<typeof strictJson<typeof AUTH_CONFIG>>;

/** Returns undefined if it contains no credentials */
export function credentialsOf(config: AuthConfig): Credentials | undefined {
  const fromAuth = userAndPassword(config.auth);
  const username = oneOf(config, "username") ?? fromAuth?.username ?? "";
  const password = oneOf(config, "password") ?? fromAuth?.password ?? "";
  const identityToken = oneOf(config, "identitytoken");
  const registryToken = config.registrytoken;
  serverAddress(config);
  // Tokens are sent as headers.
  if (/[^\u0021-\u007e]/.test(`${identityToken ?? ""}${registryToken ?? ""}`)) {
    throw invalid("a token has invalid characters");
  }
  if (username === "" && password === "" && !identityToken && !registryToken) return undefined;
  return { username, password, ...(identityToken && { identityToken }), ...(registryToken && { registryToken }) };
}

/** Returns undefined if it is missing. Throws as {@link readRegistryAuth}. */
export function serverAddress(config: AuthConfig): string | undefined {
  return oneOf(config, "serveraddress");
}

/** Returns the value of a key in either spelling. With both, engines would use the last. */
function oneOf(config: AuthConfig, key: keyof typeof OTHER_SPELLINGS): string | undefined {
  const other = OTHER_SPELLINGS[key];
  if (config[key] !== undefined && config[other] !== undefined) throw invalid(`it has both ${key} and ${other}`);
  return config[key] ?? config[other];
}

function userAndPassword(auth: string | undefined): { username: string; password: string } | undefined {
  if (auth === undefined || auth === "") return undefined;
  const text = decode(auth, "auth").toString();
  const colon = text.indexOf(":");
  if (colon === -1) throw invalid("auth has no colon between user and password");
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/**
 * Accepts URL-safe base64, which docker writes, and standard base64. Node's decoder would silently skip other
 * characters.
 */
function decode(given: string, what: string): Buffer {
  if (given.length > MAX_AUTH) throw invalid(`${what} is longer than ${MAX_AUTH} bytes`);
  const standard = given.replaceAll("-", "+").replaceAll("_", "/");
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(standard) || standard.replaceAll("=", "").length % 4 === 1) {
    throw invalid(`${what} is not base64`);
  }
  return Buffer.from(standard, "base64");
}

function invalid(message: string): Refusal {
  return new Refusal("auth.invalid", message, { statusCode: 400 });
}
