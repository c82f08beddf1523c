import { describeExit, isNotFound, withOutput, type Exit } from "../child-process/exit.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { RemoteFailure } from "./failures.ts";
import { HandshakeError } from "./handshake.ts";

/** The remote command, in the form that failures name. */
export interface CommandToExplain {
  /** Its program. */
  file: string;
  /** The whole command, without passwords. */
  command: string;
  exit: () => Promise<Exit | undefined>;
}

/**
 * Adds to a failure of the tunnel how the remote command ended, and the text that it printed in place of a hello. Returns the peer's
 * failures and all other errors unchanged.
 */
export async function explainFailure(failure: unknown, { file, command, exit }: CommandToExplain): Promise<unknown> {
  if (!(failure instanceof Failure) || failure instanceof RemoteFailure) return failure;
  if (failure instanceof HandshakeError && !failure.ended) return withNoise(failure, command);
  if (!(failure instanceof HandshakeError) && failure.code !== "link-lost") return failure;
  return explainExit(failure, file, command, await exit());
}

/** @param file the program of the command */
function explainExit(failure: Failure, file: string, command: string, exit: Exit | undefined): Failure {
  if (exit?.error !== undefined) {
    const missing = exit.error.code === "ENOENT";
    return new Failure(
      "remote-command-not-found",
      missing
        ? `cannot run \`${command}\`: there is no program \`${file}\` here`
        : `cannot run \`${command}\`: ${messageOf(exit.error)}`,
      {
        expected:
          'a command that runs docker-over-ssh on the remote side, for instance ssh HOST "docker-over-ssh pull IMAGE"',
        hint: 'Give program and arguments as separate words, or run a whole line with sh -c "…". If images are among the words: IMAGE IMAGE ssh://HOST for a host, IMAGE IMAGE -- COMMAND for a command.',
        cause: exit.error,
      },
    );
  }
  const text = { expected: failure.expected ?? "", hint: failure.hint ?? "", cause: failure };
  if (failure.code === "link-lost") {
    return new Failure("link-lost", `${failure.message}: \`${command}\` ${describeExit(exit)}`, text);
  }
  const noise = failure instanceof HandshakeError ? failure.noise : "";
  if (isNotFound(exit)) {
    return new Failure(
      "remote-command-not-found",
      `\`${command}\` ${describeExit(exit)}: the remote shell found no such command${withOutput(noise)}`,
      {
        expected: "docker-over-ssh on the remote side, in the PATH of a non-login shell",
        hint: "Install it on the remote side, name its full path in the command, or use ssh://HOST instead, which needs only an engine on the host.",
        cause: failure,
      },
    );
  }
  return new Failure(
    "remote-not-a-tunnel",
    `\`${command}\` ${exit === undefined ? "closed its output" : describeExit(exit)} before its hello${withOutput(noise)}`,
    text,
  );
}

function withNoise(failure: HandshakeError, command: string): Failure {
  return new Failure(failure.code, `\`${command}\`: ${failure.message}${withOutput(failure.noise)}`, {
    expected: failure.expected ?? "",
    hint: failure.hint ?? "",
    cause: failure,
  });
}
