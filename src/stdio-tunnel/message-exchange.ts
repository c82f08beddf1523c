import type { Duplex } from "node:stream";
import type { Failure } from "../output/errors.ts";
import { deferred } from "../streams/deferred.ts";
import { resolveWithin } from "../streams/resolve-within.ts";
import { FAREWELL_TIMEOUT } from "./constants.ts";
import { ControlChannel, type Message } from "./control.ts";
import type { Conversation } from "./conversation.ts";
import { linkLost } from "./failures.ts";
import { MessageQueue } from "./message-queue.ts";

export interface MessageExchangeOptions {
  /** Called with each message before its listener. */
  onMessage: (message: Message) => void;
  /** Called with the reason if the peer sends invalid input, or if a listener throws. */
  onInvalid: (reason: unknown) => void;
}

/**
 * The messages of a tunnel, or of a conversation in it. Sends them when the control stream is open, and delivers received messages to
 * listeners.
 */
export class MessageExchange {
  readonly #options: MessageExchangeOptions;
  readonly #queue = new MessageQueue();
  readonly #opening = deferred<ControlChannel>();
  #channel: ControlChannel | undefined;

  constructor(options: MessageExchangeOptions) {
    this.#options = options;
    this.#opening.promise.catch(() => {}); // `send` reports the error
  }

  /** Uses `stream` as the control stream. */
  open(stream: Duplex): void {
    this.#channel = new ControlChannel(
      stream,
      (message) => this.#deliver(message),
      (failure) => this.#options.onInvalid(failure),
    );
    this.#opening.resolve(this.#channel);
  }

  /** Rejects the messages that wait for the control stream, because the tunnel has ended. */
  abandon(reason: unknown): void {
    this.#opening.reject(reason);
  }

  /** Sends a message. Rejects if the tunnel ends before the control stream is open. */
  async send(message: Message): Promise<void> {
    const channel = await this.#opening.promise;
    await channel.send(message);
  }

  /**
   * Sends this side's `result`, and waits for the peer to confirm it. Returns whether it has.
   *
   * @param onSent called when the result is sent: from then on, the end of `of` is not a loss
   */
  async sendResult(
    result: Record<string, unknown>,
    of: Pick<Conversation, "signal" | "closed">,
    onSent: () => void,
  ): Promise<boolean> {
    const confirmed = this.next("received", of).then(
      () => true,
      () => false,
    );
    await this.send({ type: "result", ...result });
    onSent();
    return (await resolveWithin(FAREWELL_TIMEOUT * 5, confirmed)) ?? false;
  }

  /**
   * Sends a `failure` to the peer. Returns whether it was written in time.
   *
   * @param isLost returns whether the transport has been lost in the meantime
   */
  async sendFailure({ code, message, expected, hint }: Failure, isLost: () => boolean): Promise<boolean> {
    const channel = await resolveWithin(
      FAREWELL_TIMEOUT,
      this.#opening.promise.catch(() => undefined),
    );
    if (channel === undefined || isLost()) return false;
    const written = channel.send({ type: "failure", code, message, expected, hint });
    return (await resolveWithin(FAREWELL_TIMEOUT, written)) === true;
  }

  /** Calls `listener` for each message of a type, also for a message that has already arrived. Each type can have one listener. */
  on(type: string, listener: (message: Message) => void): void {
    const early = this.#queue.listen(type, listener);
    if (early !== undefined) this.#deliver(early);
  }

  /** Calls `listener` for the next message of a type. */
  once(type: string, listener: (message: Message) => void): void {
    this.on(type, (message) => {
      this.#queue.leave(type);
      listener(message);
    });
  }

  /** Resolves to the next message of a type. Rejects if the tunnel or conversation ends first. */
  next(type: string, { signal, closed }: Pick<Conversation, "signal" | "closed">): Promise<Message> {
    return new Promise((resolve, reject) => {
      const onEnd = (): void => reject(signal.aborted ? (signal.reason as Error) : linkLost());
      signal.addEventListener("abort", onEnd, { once: true });
      void closed.then(onEnd);
      this.once(type, (message) => {
        signal.removeEventListener("abort", onEnd);
        resolve(message);
      });
    });
  }

  /** Ends this side of the control stream, after the messages sent so far. */
  end(): void {
    this.#channel?.end();
  }

  #deliver(message: Message): void {
    this.#options.onMessage(message);
    try {
      this.#queue.deliver(message);
    } catch (error) {
      this.#options.onInvalid(error);
    }
  }
}
