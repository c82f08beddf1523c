import type { Http2Session, Http2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { Failure } from "../output/errors.ts";
import { resolveWithin } from "../streams/resolve-within.ts";
import { timeoutsFor, type Timeouts } from "../streams/timeouts.ts";
import { CONTROL_SERVICE, FAREWELL_TIMEOUT, SILENCE_TIMEOUT } from "./constants.ts";
import type { Message } from "./control.ts";
import type { Conversation } from "./conversation.ts";
import { linkLost, linkSilent, noProgress, remoteFailure } from "./failures.ts";
import type { Greeting, Hello, Role } from "./handshake.ts";
import { keepAlive } from "./keep-alive.ts";
import { MessageExchange } from "./message-exchange.ts";
import { openSession, openStream, respond } from "./open-session.ts";
import type { StdioTransport } from "./transport.ts";
import { TunnelStreams } from "./tunnel-streams.ts";
import { watchProgress } from "./watch-progress.ts";

export interface SessionOptions {
  role: Role;
  /** ms without a byte from the peer after which the link counts as dead. */
  silence?: number | undefined;
  /** The times that the two sides may work without progress. */
  timeouts?: Timeouts;
  /** True for the spawned side. After the result, it exits without closing the session; the initiator waits for the exit. */
  spawned?: boolean;
}

/**
 * An open tunnel (PROTOCOL.md, 2 to 6), and its conversation 0. It owns the transport.
 *
 * Every end (`close`, the peer's end, a broken transport, silence) causes the same idempotent close: `signal` is aborted with the reason,
 * every stream is reset, and every wait fails with that reason.
 */
export class Tunnel implements Conversation, AsyncDisposable {
  readonly peer: Hello;
  readonly #transport: StdioTransport;
  readonly #session: Http2Session;
  readonly #ended = new AbortController();
  readonly #services = new Map<string, (stream: Duplex) => void>();
  readonly #messages: MessageExchange;
  readonly #streams = new TunnelStreams(() => this.onMoved?.());
  readonly #spawned: boolean;
  readonly closed: Promise<void>;
  /** The transport's bytes at the start. */
  readonly #start: { read: number; written: number };
  onMoved: (() => void) | undefined;
  /** The number of active calls of {@link rest}. */
  #resting = 0;
  /** True when the last message has been exchanged: from then on, the end of the transport is not a loss. */
  #finished = false;

  constructor(
    transport: StdioTransport,
    greeting: Greeting,
    { role, silence = SILENCE_TIMEOUT, timeouts = timeoutsFor(), spawned = false }: SessionOptions,
  ) {
    this.peer = greeting.peer;
    this.#spawned = spawned;
    this.#transport = transport;
    this.#start = { read: transport.bytesRead, written: transport.bytesWritten };
    this.#messages = new MessageExchange({
      onMessage: ({ type }) => {
        // From now on, the end of the transport is not a loss, even if `result()` has not been called yet.
        if (type === "result" && role === "sender") this.#finished = true;
      },
      onInvalid: (reason) => this.#reject(reason),
    });
    transport.on("error", (error) => this.#lose(error));
    transport.once("end", () => this.#lose());
    this.closed = new Promise((resolve) => (transport.closed ? resolve() : transport.once("close", resolve)));
    void this.closed.then(() => this.#messages.abandon(linkLost()));
    this.#session = openSession(role, transport);
    this.#watchSession();
    this.on("failure", (message) => this.#end(remoteFailure(message)));
    this.#watchPeer(silence, timeouts);
    if (role === "receiver") this.#openControl(this.connect(CONTROL_SERVICE));
    else this.#services.set(CONTROL_SERVICE, (stream) => this.#openControl(stream));
    // The transport may have ended after the peer's hello.
    if (transport.readableEnded || transport.destroyed) this.#lose();
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  get bytesSent(): number {
    return this.#transport.bytesWritten - this.#start.written;
  }

  get bytesReceived(): number {
    return this.#transport.bytesRead - this.#start.read;
  }

  connect(service: string): Duplex {
    this.signal.throwIfAborted();
    if (this.#session.closed) throw new Failure("link-lost", "the tunnel is closed");
    const stream = openStream(this.#session, service);
    this.#streams.add(stream);
    return stream;
  }

  listen(service: string, accept: (stream: Duplex) => void): void {
    this.#services.set(service, accept);
  }

  /** Ends {@link listen}. */
  refuse(service: string): void {
    this.#services.delete(service);
  }

  /** Suspends the watch for progress until the result is disposed of. Keep-alive continues. */
  rest(): Disposable {
    this.#resting += 1;
    return { [Symbol.dispose]: () => void (this.#resting -= 1) };
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
    if (isConfirmed && this.#spawned) this.#destroy(); // an orderly close would cost one more round trip
    await this.close();
    return isConfirmed;
  }

  async result(): Promise<Message> {
    const result = await this.next("result");
    await this.send({ type: "received" });
    await resolveWithin(FAREWELL_TIMEOUT, this.closed); // the receiver closes after the confirmation
    return result;
  }

  async fail(failure: Failure): Promise<boolean> {
    if (this.signal.aborted || this.#finished) return false;
    this.#finished = true; // from now on, the peer's end is not a loss
    const reported = await this.#report(failure);
    await this.close();
    return reported;
  }

  /** Ends the tunnel from this side: waits until the messages so far have been sent, then resets open streams. Idempotent. */
  async close(): Promise<void> {
    this.#finished = true;
    this.#streams.resetAll();
    this.#messages.end();
    if (!this.#session.closed) this.#session.close();
    await resolveWithin(FAREWELL_TIMEOUT, this.closed);
    this.#destroy();
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #watchSession(): void {
    this.#session.on("error", (error) => this.#lose(error));
    this.#session.on("stream", (stream, headers) => this.#accept(stream, headers[":method"], headers[":authority"]));
    this.#session.once("close", () => {
      this.#lose();
      this.#transport.destroy();
    });
  }

  /** Ends the tunnel if the peer is silent, or if nothing moves (PROTOCOL.md, 5). */
  #watchPeer(silence: number, timeouts: Timeouts): void {
    const ping = (): void => void (this.#session.destroyed || this.#session.ping(() => {}));
    const onSilence = (): void => this.#end(linkSilent(silence));
    const onStuck = (ms: number): void => this.#reject(noProgress(ms));
    this.#transport.once("close", keepAlive(this.#transport, silence, ping, onSilence));
    const moved = (): number | undefined => (this.#resting > 0 ? undefined : this.#streams.moved);
    this.#transport.once("close", watchProgress(moved, timeouts, onStuck));
  }

  #accept(stream: Http2Stream, method: string | undefined, service: string | undefined): void {
    this.#streams.add(stream);
    if (stream.closed) return; // opened and reset in one packet
    const accept = method === "CONNECT" && service !== undefined ? this.#services.get(service) : undefined;
    if (accept === undefined) return respond(stream, 404);
    respond(stream, 200);
    accept(stream);
  }

  #openControl(stream: Duplex): void {
    this.#messages.open(stream);
    this.#streams.exclude(stream);
    stream.once("close", () => this.#lose());
  }

  /** Ends the tunnel because of invalid input, or no progress: reports the reason to the peer, then closes. */
  #reject(reason: unknown): void {
    if (this.signal.aborted || this.#finished) return;
    this.#ended.abort(reason);
    const reported = reason instanceof Failure ? this.#report(reason) : Promise.resolve(false);
    void reported.then(() => this.#destroy());
  }

  async #report(failure: Failure): Promise<boolean> {
    return await this.#messages.sendFailure(failure, () => this.#transport.destroyed);
  }

  #lose(cause?: Error): void {
    this.#end(linkLost(cause));
  }

  #end(reason: unknown): void {
    if (this.signal.aborted || this.#finished) return;
    this.#ended.abort(reason);
    this.#messages.abandon(reason);
    this.#destroy();
  }

  #destroy(): void {
    this.#session.destroy();
    this.#transport.destroy();
  }
}
