import { parseHost, type SshAddress } from "../engine/connect/endpoint.ts";
import { Failure } from "../output/errors.ts";
import { shownCommand } from "../output/secrets.ts";
import type { Connection } from "../request.ts";

/** An engine at the end of a command. */
const ENGINE = /\bsystem\s+dial-stdio$/;

/**
 * Tells from COMMAND how this side reaches the other one:
 * - no command: this process is the spawned side;
 * - `ssh://[USER@]HOST[:PORT]`: whatever that machine has;
 * - `… system dial-stdio`: an engine;
 * - any other command: docker-over-ssh.
 *
 * Throws a `usage` Failure for an invalid address, and for --sudo without one.
 */
export function readConnection(command: readonly string[], sudo = false): Connection {
  const [given = "", ...more] = command;
  if (given.startsWith("ssh://")) return { kind: "ssh", given, address: readAddress(given, more), sudo };
  if (sudo) {
    throw new Failure("usage", "--sudo is for ssh://HOST, and a command is passed on unchanged", {
      expected: "ssh://[USER@]HOST[:PORT] behind the image",
      hint: 'Put sudo into the command: ssh HOST "sudo docker system dial-stdio"',
    });
  }
  if (command.length === 0) return { kind: "spawned" };
  return { kind: ENGINE.test(command.join(" ")) ? "engine" : "command", words: command };
}

function readAddress(given: string, more: readonly string[]): SshAddress {
  const address = parseHost(given, "the remote side").address as SshAddress;
  if (more.length === 0 && address.socketPath === undefined) return address;
  throw new Failure(
    "usage",
    more.length > 0
      ? `${given} stands for the whole command, and \`${shownCommand(more)}\` follows it`
      : `${given} names a socket, and only a machine can be named there`,
    {
      expected: "ssh://[USER@]HOST[:PORT], and nothing behind it",
      hint: "For a command of your own: ssh HOST docker --host=unix:///PATH system dial-stdio",
    },
  );
}
