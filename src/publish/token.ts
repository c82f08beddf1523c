import { readFile } from "node:fs/promises";
import { Failure, messageOf } from "../output/errors.ts";

/** Characters that a header may contain. */
const TOKEN = /^[\x21-\x7e]{1,4096}$/;

/**
 * Reads the token for the build service: from `file` (--token-file) or BUILD_AUTH; returns undefined if neither is given. Throws a Failure
 * `usage`, which does not contain the token.
 */
export async function readToken(file: string | undefined, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  if (file === undefined) {
    const { BUILD_AUTH: given = "" } = env;
    return given === "" ? undefined : tokenIn(given, "BUILD_AUTH");
  }
  try {
    return tokenIn(await readFile(file, "utf8"), file);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure("usage", `the token in ${file} cannot be read: ${messageOf(error)}`, {
      expected: "a file with the token of the build service, in one line",
      hint: "Check the path and the file's permissions.",
      cause: error,
    });
  }
}

/** Parses a token. `docker-over-ssh serve token` writes one line. The token may also be given in the form of the header. */
function tokenIn(text: string, from: string): string {
  const token = text.trim().replace(/^Bearer\s+/i, "");
  if (TOKEN.test(token)) return token;
  throw new Failure("usage", `${from} has no token`, {
    expected: "one line of visible ASCII characters",
    hint: "The operator of the service creates a token: docker-over-ssh serve token NAME --token-file FILE",
  });
}
