import type { Duplex } from "node:stream";
import { Failure } from "../output/errors.ts";
import { resolveWithin } from "../streams/resolve-within.ts";
import { FAREWELL_TIMEOUT } from "./constants.ts";
import type { Message } from "./control.ts";
import type { Conversation } from "./conversation.ts";
import { linkLost, remoteFailure } from "./failures.ts";
import type { Hello } from "./handshake.ts";
import { MessageExchange } from "./message-exchange.ts";
import type { Tunnel } from "./session.ts";

/** Returns the name of a service of a conversation. An HTTP/2 authority may not contain a slash. */
export const numbered = (service: string, number: number): string => `${service}:${number}`;

/**
 * One of several conversations in a tunnel (PROTOCOL.md, 4). Its failure ends only this conversation. The end of the tunnel ends all.
 *
 * @param control the control stream, which the conversation owns
 */
export class NumberedConversation implements Conversation {
  readonly peer: Hello;
  readonly closed: Promise<void>;
  readonly #tunnel: Tunnel;
  readonly #number: number;
  readonly #control: Duplex;
  readonly #messages: MessageExchange;
  readonly #ended = new AbortController();
  readonly #streams = new Set<Duplex>();
  readonly #services: string[] = [];
  readonly #start: { sent: number; received: number };
  /** True when the last message has been exchanged: from then on, the end of the control stream is not a loss. */
  #finished = false;

  constructor(tunnel: Tunnel, number: number, control: Duplex) {
    this.peer = tunnel.peer;
    this.#tunnel = tunnel;
    this.#number = number;
    this.#control = control;
    this.#start = { sent: tunnel.bytesSent, received: tunnel.bytesReceived };
    this.#messages = new MessageExchange({
      onMessage: ({ type }) => {
        if (type === "result") this.#finished = true;
      },
      onInvalid: (reason) => void this.#reject(reason),
    });
    const onTunnelEnd = (): void => this.#end(tunnel.signal.reason);
    tunnel.signal.addEventListener("abort", onTunnelEnd);
    this.closed = new Promise((resolve) => (control.closed ? resolve() : control.once("close", resolve)));
    void this.closed.then(() => {
      tunnel.signal.removeEventListener("abort", onTunnelEnd);
      this.#end(linkLost());
      this.#release();
    });
    this.on("failure", (message) => this.#end(remoteFailure(message)));
    control.on("error", () => {}); // its close reports the error
    this.#messages.open(control);
    if (tunnel.signal.aborted) onTunnelEnd();
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  get bytesSent(): number {
    return this.#tunnel.bytesSent - this.#start.sent;
  }

  get bytesReceived(): number {
    return this.#tunnel.bytesReceived - this.#start.received;
  }

  get onMoved(): (() => void) | undefined {
    return this.#tunnel.onMoved;
  }

  set onMoved(listener: (() => void) | undefined) {
    this.#tunnel.onMoved = listener;
  }

  connect(service: string): Duplex {
    this.signal.throwIfAborted();
    return this.#own(this.#tunnel.connect(numbered(service, this.#number)));
  }

  listen(service: string, accept: (stream: Duplex) => void): void {
    const name = numbered(service, this.#number);
    this.#services.push(name);
    this.#tunnel.listen(name, (stream) => accept(this.#own(stream)));
  }

  async send(message: Message): Promise<void> {
    await this.#messages.send(message);
  }

  on(type: string, listener: (message: Message) => void): void {
    this.#messages.on(type, listener);
  }

  async next(type: string): Promise<Message> {
    return await this.#messages.next(type, this);
  }

  async finish(result: Record<string, unknown>): Promise<boolean> {
    const isConfirmed = await this.#messages.sendResult(result, this, () => (this.#finished = true));
    await this.close();
    return isConfirmed;
  }

  async result(): Promise<Message> {
    const result = await this.next("result");
    await this.send({ type: "received" });
    await this.close();
    return result;
  }

  async fail(failure: Failure): Promise<boolean> {
    if (this.signal.aborted || this.#finished) return false;
    this.#finished = true; // from now on, the peer's end is not a loss
    const reported = await this.#messages.sendFailure(failure, () => this.#control.destroyed);
    await this.close();
    return reported;
  }

  /** Ends the conversation from this side: waits until the messages so far have been sent, then resets its streams. Idempotent. */
  async close(): Promise<void> {
    this.#finished = true;
    this.#release();
    this.#messages.end();
    await resolveWithin(FAREWELL_TIMEOUT, this.closed);
    this.#control.destroy();
  }

  /** Ends the conversation because of invalid input: reports the reason to the peer, then closes. */
  async #reject(reason: unknown): Promise<void> {
    if (this.signal.aborted || this.#finished) return;
    this.#ended.abort(reason);
    if (reason instanceof Failure) await this.#messages.sendFailure(reason, () => this.#control.destroyed);
    await this.close();
  }

  #end(reason: unknown): void {
    if (this.signal.aborted || this.#finished) return;
    this.#ended.abort(reason);
    void this.close();
  }

  #own(stream: Duplex): Duplex {
    this.#streams.add(stream);
    stream.once("close", () => this.#streams.delete(stream));
    return stream;
  }

  #release(): void {
    for (const service of this.#services.splice(0)) this.#tunnel.refuse(service);
    for (const stream of this.#streams) stream.destroy();
  }
}
