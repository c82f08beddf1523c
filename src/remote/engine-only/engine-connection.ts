import { ProgramConnection } from "../../engine/connect/program-connection.ts";
import type { Failure } from "../../output/errors.ts";
import type { RemoteCommand } from "../login/remote-command.ts";
import { engineLost, engineUnreachable } from "../login/remote-errors.ts";

/**
 * Connects to the engine behind a remote command's stdin and stdout. Destroying the connection closes both; disposing of `link` ends the command.
 * `onLost` gets the failure when the command ends with an error after an answer; the connection is destroyed with that failure.
 */
export function connectToEngine(link: RemoteCommand, onLost: (failure: Failure) => void): ProgramConnection {
  const { stdin, stdout } = link.child;
  return new ProgramConnection({
    stdin,
    stdout,
    onAnswer: () => link.answered(),
    exit: async () => await link.child.exit(),
    failureOf(exit, { answered, noise }) {
      if (answered && exit?.status === 0) return undefined;
      const failure = answered ? engineLost(link, exit) : engineUnreachable(link, exit, noise);
      onLost(failure);
      return failure;
    },
  });
}
