/**
 * Returns `X-Registry-Auth` for the engine: JSON in base64 of the URL alphabet, with padding. Go's URLEncoding rejects
 * anything else, and the engine would continue without credentials.
 */
export function authHeader(config: Readonly<Record<string, string>>): string {
  return Buffer.from(JSON.stringify(config)).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
}
