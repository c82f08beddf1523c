import { isNotFound } from "../../child-process/exit.ts";
import type { DialError } from "./dial-error.ts";
import type { SshAddress } from "./endpoint.ts";

/** s for ssh to connect, as in docker/cli. */
const CONNECT_TIMEOUT = 30;

/**
 * Returns ssh's arguments up to and including the host, as in docker/cli (`cli/connhelper`). All other settings, from keys to jump hosts,
 * are in the user's `~/.ssh/config`.
 */
export function sshLogin({ user, hostname, port }: SshAddress, options: readonly string[] = []): string[] {
  return [
    ...(user === undefined ? [] : ["-l", user]),
    ...(port === undefined ? [] : ["-p", String(port)]),
    ...[`ConnectTimeout=${CONNECT_TIMEOUT}`, ...options].flatMap((option) => ["-o", option]),
    "-T",
    "--",
    hostname,
  ];
}

/** Returns ssh's arguments with the remote command that leads to the engine. */
export function sshArguments(address: SshAddress): string[] {
  const { socketPath } = address;
  return [
    ...sshLogin(address),
    // ssh joins these with spaces for the remote shell
    "docker",
    ...(socketPath === undefined ? [] : [quote(`--host=unix://${socketPath}`)]),
    "system",
    "dial-stdio",
  ];
}

/** Returns the hint for an ssh that failed. */
export function sshHint(error: DialError, address: SshAddress): string {
  if (error.missing) return "Install ssh (OpenSSH's client), or put it into PATH.";
  if (isNotFound(error)) return `Install the docker CLI on ${address.hostname}, in the PATH of a non-login shell.`;
  return `Try \`${tryByHand(address)}\`; it must work without a password prompt.`;
}

/** Returns a command that shows a person whether the engine is reachable. */
export function tryByHand({ user, hostname, port }: SshAddress): string {
  const login = user === undefined ? hostname : `${user}@${hostname}`;
  return ["ssh", ...(port === undefined ? [] : ["-p", port]), login, "docker version"].join(" ");
}

/** Quotes a word for a POSIX shell. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
