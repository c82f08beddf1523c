import type { DialError } from "./dial-error.ts";
import type { SshAddress } from "./endpoint.ts";

/** How long ssh may take to connect, s. docker/cli's figure. */
const CONNECT_TIMEOUT = 30;

/**
 * What follows `ssh` on its command line up to and with the host, as docker/cli has it (`cli/connhelper`). Everything else,
 * from keys to jump hosts, is in the user's own `~/.ssh/config`.
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

/** The same, with the command that leads to the engine over there. */
export function sshArguments(address: SshAddress): string[] {
  const { socketPath } = address;
  return [
    ...sshLogin(address),
    // ssh joins these with spaces and gives them to the shell over there
    "docker",
    ...(socketPath === undefined ? [] : [quote(`--host=unix://${socketPath}`)]),
    "system",
    "dial-stdio",
  ];
}

/** What the user can do about an ssh that failed. */
export function sshHint(error: DialError, address: SshAddress): string {
  if (error.missing) return "Install ssh (OpenSSH's client), or put it into PATH.";
  if (error.status === 127 || error.status === 126)
    return `Install the docker CLI on ${address.hostname}, in the PATH of a shell that is not a login shell.`;
  return `Try \`${tryByHand(address)}\`; it has to work without asking for a password.`;
}

/** A command for a person, that shows whether the way to the engine is free. */
export function tryByHand({ user, hostname, port }: SshAddress): string {
  const login = user === undefined ? hostname : `${user}@${hostname}`;
  return ["ssh", ...(port === undefined ? [] : ["-p", port]), login, "docker version"].join(" ");
}

/** For a POSIX shell. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
