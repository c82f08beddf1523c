import { timingSafeEqual } from "node:crypto";
import { Failure } from "docker-over-ssh/builds";
import type { Access, Client } from "./client.ts";
import { hashOf } from "./token.ts";
import { readTokenFile, type KnownToken } from "./token-file.ts";

/** Knows clients by the tokens of --token-file. */
export class TokenAccess implements Access {
  readonly needsToken = true;
  readonly #path: string;
  #tokens: readonly KnownToken[];

  private constructor(path: string, tokens: readonly KnownToken[]) {
    this.#path = path;
    this.#tokens = tokens;
  }

  /** Rejects with a Failure `usage` for a file that is not valid. */
  static async open(path: string): Promise<TokenAccess> {
    return new TokenAccess(path, await readTokenFile(path));
  }

  /**
   * Reads the file again, as {@link ReloadableAccess.reload}. One that is not valid changes nothing: rejects with a Failure that says so. Bound: it may
   * be passed on alone.
   */
  readonly reload = async (): Promise<number> => {
    try {
      this.#tokens = await readTokenFile(this.#path);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const { code, message, expected, hint } = error;
      throw new Failure(code, `the tokens stay as they were, also those that were taken back: ${message}`, {
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
    // To the end, also after one has matched, and hashes of one length: the time tells neither how much of a token is right, nor which one it is.
    for (const known of this.#tokens) {
      if (timingSafeEqual(known.hash, hash)) found = known.client;
    }
    return found;
  }
}

/** Returns the token in a header: `Bearer TOKEN` (RFC 6750), or, as the first client sends it, the token alone. */
function tokenOf(authorization: string | undefined): string | undefined {
  const token = authorization?.replace(/^bearer +/i, "").trim();
  return token === "" ? undefined : token;
}
