import { dialStdio, type StdioConnection } from "./dial-stdio.ts";
import type { SshAddress } from "./endpoint.ts";
import { sshArguments } from "./ssh-command.ts";
import { StreamAgent } from "./stream-agent.ts";

/**
 * Connects to a remote engine through one ssh process, one request after the other: sshd drops logins if there are too many at once
 * (MaxStartups). `destroy` ends the process; `closed` resolves when all of them have ended.
 */
export class SshAgent extends StreamAgent {
  readonly #connections = new Set<StdioConnection>();
  readonly #onExit = (): void => this.#connections.forEach((connection) => connection.killNow());

  readonly #address: SshAddress;

  constructor(address: SshAddress) {
    super(() => this.another());
    this.#address = address;
    process.once("exit", this.#onExit);
  }

  /** Starts another ssh, which ends when the connection is destroyed. */
  another(): StdioConnection {
    const connection = dialStdio("ssh", sshArguments(this.#address));
    this.#connections.add(connection);
    void connection.ended.then(() => this.#connections.delete(connection));
    return connection;
  }

  override destroy(): void {
    super.destroy();
    process.off("exit", this.#onExit);
  }

  /** Resolves when every ssh that this agent started has ended. */
  async closed(): Promise<void> {
    await Promise.all([...this.#connections].map((connection) => connection.ended));
  }
}
