import { Agent } from "node:http";
import { type DialError, StdioConnection } from "./dial-stdio.ts";
import type { EngineAddress } from "./endpoint.ts";

export type SshAddress = Extract<EngineAddress, { protocol: "ssh" }>;

/** How long ssh may take to connect, s. docker/cli's figure. */
const CONNECT_TIMEOUT = 30;

/**
 * What follows `ssh` on its command line, as docker/cli has it (`cli/connhelper`). Everything else, from keys to jump hosts,
 * is in the user's own `~/.ssh/config`.
 */
export function sshArguments({ user, hostname, port, socketPath }: SshAddress): string[] {
  return [
    ...(user === undefined ? [] : ["-l", user]),
    ...(port === undefined ? [] : ["-p", String(port)]),
    "-o",
    `ConnectTimeout=${CONNECT_TIMEOUT}`,
    "-T",
    "--",
    hostname,
    // ssh joins these with spaces and gives them to the shell over there
    "docker",
    ...(socketPath === undefined ? [] : [quote(`--host=unix://${socketPath}`)]),
    "system",
    "dial-stdio",
  ];
}

/**
 * Connections to a far engine, each through an ssh of its own; one that is idle is used again.
 * `destroy` ends them all; `closed` resolves when no ssh is left.
 */
export class SshAgent extends Agent {
  readonly #argv: string[];
  readonly #connections = new Set<StdioConnection>();
  readonly #onExit = (): void => this.#connections.forEach((connection) => connection.killNow());

  constructor(address: SshAddress) {
    super({ keepAlive: true });
    this.#argv = sshArguments(address);
    process.once("exit", this.#onExit);
  }

  override createConnection(): StdioConnection {
    const connection = new StdioConnection("ssh", this.#argv);
    this.#connections.add(connection);
    void connection.ended.then(() => this.#connections.delete(connection));
    return connection;
  }

  override destroy(): void {
    super.destroy();
    // Also those that the base class does not know: handed out but not yet given to a request.
    for (const connection of this.#connections) connection.destroy();
    process.off("exit", this.#onExit);
  }

  /** Resolves when every ssh that this agent started has ended. */
  async closed(): Promise<void> {
    await Promise.all([...this.#connections].map((connection) => connection.ended));
  }
}

/** What the user can do about an ssh that failed. */
export function sshHint(error: DialError, { user, hostname, port }: SshAddress): string {
  if (error.missing) return "Install ssh (OpenSSH's client), or put it into PATH.";
  const login = [
    "ssh",
    ...(port === undefined ? [] : ["-p", port]),
    user === undefined ? hostname : `${user}@${hostname}`,
  ].join(" ");
  if (error.status === 127 || error.status === 126)
    return `Install the docker CLI on ${hostname}, in the PATH of a shell that is not a login shell.`;
  return `Try \`${login} docker version\`; it has to work without asking for a password.`;
}

/** For a POSIX shell. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
