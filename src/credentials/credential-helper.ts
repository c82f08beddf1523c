import { text } from "node:stream/consumers";
import { describeExit } from "../child-process/exit.ts";
import { startProgram } from "../child-process/start-program.ts";
import type { Credentials } from "../engine/credentials.ts";
import { oneLine } from "../output/describe.ts";
import { hiddenCredentials } from "./hidden-credentials.ts";

/** The output of a helper that has no credentials for a registry (docker-credential-helpers, credentials/error.go). */
const NOT_FOUND = "credentials not found in native keychain";
/** Characters of a failed helper's output that a message quotes. */
const MAX_WORDS = 200;
/** ms until a helper must have answered. */
export const HELPER_TIMEOUT = 60_000;
/** ms between SIGTERM and SIGKILL */
const KILL_TIMEOUT = 1_000;

/** Thrown for a helper that fails. The message completes a sentence that begins with the helper's name, and contains no secret. */
export class HelperFailure extends Error {
  override readonly name = "HelperFailure";
}

/**
 * Queries a credential helper for the credentials of a registry: `docker-credential-NAME get`, with the registry's name on stdin and JSON
 * on stdout. Returns undefined if it has none.
 *
 * @param timeout ms. A helper may wait for a password that the user types into a window
 * @throws HelperFailure
 */
export async function askHelper(
  name: string,
  registry: string,
  { env, timeout }: { env: NodeJS.ProcessEnv; timeout: number },
): Promise<Credentials | undefined> {
  if (/[/\\\0]/.test(name)) throw new HelperFailure("is not the name of a program");
  const program = startProgram(`docker-credential-${name}`, ["get"], { killTimeout: KILL_TIMEOUT, env });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    program.kill();
    program.stdout.destroy();
  }, timeout);
  try {
    program.stdin.on("error", () => {}); // the helper has ended, and its exit status is the better reason
    program.stdin.end(registry);
    program.stderr.resume();
    const [answer, exit] = await Promise.all([text(program.stdout).catch(() => ""), program.exit]);
    if (isLate) throw new HelperFailure(`has not answered within ${timeout / 1000} s`);
    if (exit.error?.code === "ENOENT") throw new HelperFailure("is not installed");
    if (exit.status === 0) return parseAnswer(answer);
    if (answer.trim() === NOT_FOUND) return undefined;
    throw new HelperFailure(`${describeExit(exit)}${wordsOf(answer)}`);
  } finally {
    clearTimeout(timer);
  }
}

function parseAnswer(answer: string): Credentials | undefined {
  let fields: unknown;
  try {
    fields = JSON.parse(answer);
  } catch {
    throw new HelperFailure("has not answered in JSON");
  }
  const { Username: username, Secret: secret } = (fields ?? {}) as Record<string, unknown>;
  if (typeof username !== "string" || typeof secret !== "string")
    throw new HelperFailure("has answered without a username and a secret");
  return username === "" && secret === "" ? undefined : hiddenCredentials(username, secret);
}

/** Returns the reason of a failure, which a helper prints on stdout. Returns "" for text that may contain credentials. */
function wordsOf(answer: string): string {
  const words = oneLine(answer).slice(0, MAX_WORDS);
  return words === "" || /["{]/.test(words) ? "" : `: ${words}`;
}
