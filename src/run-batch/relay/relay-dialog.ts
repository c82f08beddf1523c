import type { Failure } from "../../output/errors.ts";
import { EventReader } from "../../output/read-event.ts";
import type { HostConnection, RelayOrder } from "../../request.ts";
import { MAGIC_LINE, PROTOCOL_VERSION } from "../../stdio-tunnel/constants.ts";
import { keepAlive } from "../../stdio-tunnel/keep-alive.ts";
import { RemoteFailure } from "../../stdio-tunnel/failures.ts";
import { abortable } from "../../streams/abortable.ts";
import { boundedLines, LineTooLong } from "../../streams/bounded-lines.ts";
import type { RemoteCommand } from "../../remote/login/remote-command.ts";
import { otherRelay, relayBroken, relayEnded, relaySilent } from "./relay-errors.ts";
import { MAX_LINE, READY, silence } from "./relay-lines.ts";

/** Maximum lines before the hello that are skipped, e.g. the output of a wrapper of an installed docker-over-ssh. */
const MAX_NOISE_LINES = 100;

/** This side's part of the dialog with the relay (relay-lines.ts). The relay's output is hostile input. */
export class RelayDialog {
  readonly #link: RemoteCommand;
  readonly #connection: HostConnection;
  readonly #lines: AsyncGenerator<string>;

  constructor(link: RemoteCommand, connection: HostConnection) {
    this.#link = link;
    this.#connection = connection;
    this.#lines = boundedLines(link.child.stdout, MAX_LINE);
  }

  /** Reads the hello, sends the order, and waits until the relay is ready. Throws the Failure that a relay reports instead. */
  async sendOrder(order: RelayOrder, stop: AbortSignal): Promise<void> {
    const next = async (): Promise<string> => {
      const line = await this.#next(stop);
      if (line === undefined) throw relayEnded(this.#connection, await this.#link.child.exit());
      return line;
    };
    for (let lines = 0; !(await next()).endsWith(MAGIC_LINE.trim()); lines++) {
      if (lines === MAX_NOISE_LINES) throw otherRelay(this.#connection);
    }
    if (!isRelay(await next())) throw otherRelay(this.#connection);
    this.#write(order);
    const answer = await next();
    if (answer !== READY) throw this.#refusal(answer);
  }

  /**
   * Lets the relay pass on the images that have arrived. `onLine` gets its lines. Resolves when the relay has ended; rejects with a
   * `link-lost` Failure if it has ended with an error.
   */
  async pass(
    images: readonly string[],
    onLine: (line: string) => void,
    { signal, timeout }: { signal: AbortSignal; timeout: number | undefined },
  ): Promise<void> {
    const { max } = silence({ timeout });
    const dead = new AbortController();
    const heard = { bytesRead: 0 };
    const onSilence = (): void => dead.abort(relaySilent(this.#connection, max));
    const stop = AbortSignal.any([signal, dead.signal]);
    this.#write(images);
    const endWatch = keepAlive(heard, max, () => {}, onSilence);
    try {
      for (let line = await this.#next(stop); line !== undefined; line = await this.#next(stop)) {
        heard.bytesRead += line.length + 1;
        if (line !== "") onLine(line);
      }
    } finally {
      endWatch();
    }
    const exit = await this.#link.child.exit();
    if (exit?.status !== 0) throw relayEnded(this.#connection, exit);
  }

  #write(value: unknown): void {
    this.#link.child.stdin.write(`${JSON.stringify(value)}\n`);
  }

  /** Returns the next line; undefined at the end. */
  async #next(stop: AbortSignal): Promise<string | undefined> {
    try {
      const { done, value } = await abortable(this.#lines.next(), stop);
      return done === true ? undefined : value;
    } catch (error) {
      throw error instanceof LineTooLong ? relayBroken(this.#connection) : error;
    }
  }

  /** Returns the Failure for an event in which the relay reports why it cannot pass images on. */
  #refusal(line: string): Failure {
    const event = new EventReader().read(line);
    if (event?.type !== "error") return relayBroken(this.#connection);
    const { code, message, expected = "", hint = "" } = event;
    return new RemoteFailure(code, `${this.#connection.given} cannot pass the images on: ${message}`, {
      expected,
      hint,
    });
  }
}

function isRelay(hello: string): boolean {
  try {
    const { protocol, features } = JSON.parse(hello) as Record<string, unknown>;
    return protocol === PROTOCOL_VERSION && Array.isArray(features) && features.includes("relay");
  } catch {
    return false;
  }
}
