import { basicAuth } from "docker-over-ssh/builds";
import type { Credentials } from "../build-request.ts";
import { Refusal } from "../refusal.ts";

/** Maximum characters of a WWW-Authenticate header that are parsed */
const MAX_CHALLENGE = 4096;
/** Seconds for which a token is valid if the service does not state them (distribution, docs/spec/auth/token.md) */
const DEFAULT_LIFE = 60;
/** ms before its expiry after which a token is replaced, because requests take time */
const MARGIN = 15_000;
const CLIENT_ID = "docker-over-ssh";

/** The authentication scheme that a registry requires (RFC 9110, 11.6.1). */
export type Challenge = { scheme: "basic" } | { scheme: "bearer"; realm: string; service: string | undefined };

/** A request for a token. */
export interface TokenRequest {
  method: "GET" | "POST";
  url: URL;
  headers: Record<string, string>;
  body?: Buffer | undefined;
}

/** Sends a request to a token service. Resolves with the status and the JSON of its answer. */
export type SendTokenRequest = (request: TokenRequest) => Promise<{ status: number; answer: unknown }>;

/** The Authorization header for a registry. */
export interface RegistryAuth {
  /** Returns the value of the header, with a new token if the last one has expired, or undefined for no header. */
  authorization(): Promise<string | undefined>;
  /** Discards the token after the registry has answered 401. Returns whether a retry may succeed. */
  renew(challenge: Challenge | undefined): boolean;
}

/** Parses WWW-Authenticate. Returns undefined for a scheme that docker also does not support. Prefers Bearer to Basic. */
export function parseChallenge(header: string | undefined): Challenge | undefined {
  const text = (header ?? "").slice(0, MAX_CHALLENGE);
  const bearer = /(?:^|,)\s*Bearer\s+(.*)$/is.exec(text)?.[1];
  if (bearer !== undefined) {
    const fields = new Map<string, string>();
    for (const [, key = "", quoted, bare] of bearer.matchAll(/(\w+)=(?:"([^"]*)"|([^\s,"]+))/g))
      fields.set(key.toLowerCase(), quoted ?? bare ?? "");
    const realm = fields.get("realm");
    if (realm !== undefined && URL.canParse(realm)) return { scheme: "bearer", realm, service: fields.get("service") };
  }
  return /(?:^|,)\s*Basic(?:\s|$)/i.test(text) ? { scheme: "basic" } : undefined;
}

/**
 * @param repository for which a token is requested, with pull and push
 * @param sendRequest throws a Refusal for an address that may not be reached
 */
export function createRegistryAuth(
  first: Challenge | undefined,
  {
    credentials,
    repository,
    registry,
    sendRequest,
  }: {
    credentials: Credentials | undefined;
    repository: string;
    registry: string;
    sendRequest: SendTokenRequest;
  },
): RegistryAuth {
  let challenge = first;
  let token: Promise<{ value: string; until: number }> | undefined;

  const fetchToken = async (realm: string, service: string | undefined): Promise<{ value: string; until: number }> => {
    const { status, answer } = await sendRequest(
      tokenRequest(realm, service, `repository:${repository}:pull,push`, credentials),
    );
    const { token: value, access_token: other, expires_in: life } = (answer ?? {}) as Record<string, unknown>;
    const found = typeof value === "string" && value !== "" ? value : other;
    if (status === 200 && typeof found === "string" && found !== "" && !/[^\x21-\x7e]/.test(found)) {
      const seconds = typeof life === "number" && life > DEFAULT_LIFE ? life : DEFAULT_LIFE;
      return { value: found, until: Date.now() + seconds * 1000 - MARGIN };
    }
    throw new Refusal(
      "push.denied",
      status === 200
        ? `the token service of ${registry} has answered without a token`
        : `unauthorized: the token service of ${registry} has answered with status ${status}: ${
            credentials === undefined ? "credentials are needed (docker login)" : "the credentials are not accepted"
          }`,
    );
  };

  return {
    async authorization() {
      if (credentials?.registryToken) return `Bearer ${credentials.registryToken}`;
      if (challenge === undefined) return undefined;
      if (challenge.scheme === "basic") return credentials === undefined ? undefined : basicAuth(credentials);
      const current = await token?.catch(() => undefined);
      // Several layers wait for the same token.
      const isValid = current !== undefined && current.until > Date.now();
      const pending = isValid && token !== undefined ? token : fetchToken(challenge.realm, challenge.service);
      token = pending;
      return `Bearer ${(await pending).value}`;
    },
    renew(found) {
      const isNew = challenge === undefined && found !== undefined;
      challenge = found ?? challenge;
      token = undefined;
      return !credentials?.registryToken && (isNew || challenge?.scheme === "bearer");
    },
  };
}

/** Creates the same request as docker: POST with an identity token, otherwise GET, with the credentials if any. */
function tokenRequest(
  realm: string,
  service: string | undefined,
  scope: string,
  credentials: Credentials | undefined,
): TokenRequest {
  const url = new URL(realm);
  if (credentials?.identityToken) {
    const fields = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: credentials.identityToken,
      service: service ?? "",
      scope,
      client_id: CLIENT_ID,
    });
    const body = Buffer.from(fields.toString());
    return { method: "POST", url, headers: { "content-type": "application/x-www-form-urlencoded" }, body };
  }
  if (service !== undefined) url.searchParams.set("service", service);
  url.searchParams.set("scope", scope);
  if (credentials === undefined || credentials.username === "") return { method: "GET", url, headers: {} };
  url.searchParams.set("account", credentials.username);
  return { method: "GET", url, headers: { authorization: basicAuth(credentials) } };
}
