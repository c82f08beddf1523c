import { timingSafeEqual } from "node:crypto";
import { Failure } from "docker-over-ssh/builds";
import type { Access, Client } from "./client.ts";
import { hashOf } from "./token.ts";
import { readTokenFile, type KnownToken } from "./token-file.ts";

/** Identifies clients by the tokens of --token-file. */
export class TokenAccess implements Access {
  readonly needsToken = true;
  readonly #path: string;
  #tokens: readonly KnownToken[];

  private constructor(path: string, tokens: readonly KnownToken[]) {
    this.#path = path;
    this.#tokens = tokens;
  }

  /** Rejects with a Failure `usage` for an invalid file. */
  static async open(path: string): Promise<TokenAccess> {
    return new TokenAccess(path, await readTokenFile(path));
  }

  /**
   * Reads the file again, see {@link ReloadableAccess.reload}. Rejects with a Failure for an invalid file, and keeps
   * the tokens. An arrow function, because callers pass it on alone.
   */
  readonly reload = async (): Promise<number> => {
    try {
      this.#tokens = await readTokenFile(this.#path);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const { code, message, expected, hint } = error;
      throw new Failure(code, `the tokens stay as they were, including those that the file no longer has: ${message}`, {
        ...(expected !== undefined && { expected }),
        ...(hint !== undefined && { hint }),
        cause: error,
      });
    }
    return this.#tokens.length;
  };

  client(authorization: string | undefined): Client | undefined {
    const token = tokenOf(authorization);
    if (token === undefined) return undefined;
    const hash = hashOf(token);
    let found: Client | undefined;
    // Compares with every token, even after a match, and compares hashes of one length: the time reveals neither a
    // correct prefix nor which token matches.
    for (const known of this.#tokens) {
      if (timingSafeEqual(known.hash, hash)) found = known.client;
    }
    return found;
  }
}

/** Returns the token of a header: `Bearer TOKEN` (RFC 6750), or the token alone, as the first client sends it. */
function tokenOf(authorization: string | undefined): string | undefined {
  const token = authorization?.replace(/^bearer +/i, "").trim();
  return token === "" ? undefined : token;
}
