import { readFile } from "node:fs/promises";
import { Failure, messageOf } from "../output/errors.ts";

/** Characters that a header may have. */
const TOKEN = /^[\x21-\x7e]{1,4096}$/;

/** Reads the token for the build service: of `file` (--token-file), or BUILD_AUTH; undefined for none. Throws a Failure `usage`, without the token. */
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
      cause: error,
    });
  }
}

/** `docker-over-ssh serve token` writes one line. A token may be given as the header has it. */
function tokenIn(text: string, from: string): string {
  const token = text.trim().replace(/^Bearer\s+/i, "");
  if (TOKEN.test(token)) return token;
  throw new Failure("usage", `${from} has no token`, { expected: "one line of visible ASCII characters" });
}
