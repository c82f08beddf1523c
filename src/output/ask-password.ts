import { askOnTerminal } from "./ask-on-terminal.ts";
import { Failure } from "./errors.ts";

/**
 * Asks for a password on the terminal of this process, without echo. The caller must not write to the terminal until the promise settles.
 *
 * @param signal withdraws the question: restores the terminal and throws the signal's reason
 * @throws Failure if there is no terminal, or when Ctrl-C or Ctrl-D is typed
 */
export async function askPassword(question: string, signal: AbortSignal): Promise<string> {
  const password = await askOnTerminal(question, { isShown: false, signal }).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw new Failure(
      "engine-unreachable",
      "the remote side asks for a password, and there is no terminal to type it on",
      {
        expected: "a terminal, or a sudo that needs no password",
        hint: "Let sudo run it without a password there (NOPASSWD in sudoers), or use a user who needs no sudo.",
        cause,
      },
    );
  });
  if (password !== undefined) return password;
  throw new Failure("engine-unreachable", "no password was typed", {
    expected: "the password that sudo asks for on the remote side",
    hint: "Run the same command again.",
  });
}
