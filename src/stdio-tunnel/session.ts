import type { Http2Session, Http2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { Failure } from "../output/errors.ts";
import { CONTROL_SERVICE, FAREWELL_TIMEOUT, SILENCE_TIMEOUT } from "./constants.ts";
import { ControlChannel, type Message } from "./control.ts";
import { remoteFailure, lost, silent, stuck } from "./failures.ts";
import { keepAlive } from "./keep-alive.ts";
import { MessageQueue } from "./message-queue.ts";
import { countData, watchMovement } from "./watch-movement.ts";
import { openSession } from "./open-session.ts";
import { resetUnlessComplete } from "./reset.ts";
import { deferred } from "../streams/deferred.ts";
import { timeoutsFor, type Timeouts } from "../streams/timeouts.ts";
import { resolveWithin } from "../streams/resolve-within.ts";
import type { Greeting, Hello, Role } from "./handshake.ts";
import type { StdioTransport } from "./transport.ts";

export interface SessionOptions {
  role: Role;
  /** ms without a byte from the far end after which the link is dead. */
  silence?: number | undefined;
  /** What the two ends may take for what they do. */
  timeouts?: Timeouts;
  /** This end was spawned: when all has been said it just goes, which the spawner waits for. */
  spawned?: boolean;
}

type Accept = (stream: Duplex) => void;

/**
 * An open tunnel (PROTOCOL.md, 2 to 5).
 *
 * Owns the transport. Every way to end (`close`, the far end's end, a broken line, silence) runs into one idempotent
 * close: `signal` is aborted with the reason, every stream is reset, and what waited fails with that reason.
 */
export class Tunnel implements AsyncDisposable {
  readonly peer: Hello;
  readonly noise: string;
  readonly #transport: StdioTransport;
  readonly #session: Http2Session;
  readonly #ended = new AbortController();
  readonly #services = new Map<string, Accept>();
  readonly #messages = new MessageQueue();
  /** All that are open, but for the control stream. */
  readonly #streams = new Set<Http2Stream>();
  readonly #control = deferred<ControlChannel>();
  #channel: ControlChannel | undefined;
  readonly #role: Role;
  readonly #spawned: boolean;
  readonly #closed: Promise<void>;
  readonly #startWritten: number;
  readonly #startRead: number;
  /** Bytes on streams, both ways, and messages. */
  #moved = 0;
  /** Hears when something has moved. */
  onMoved: (() => void) | undefined;
  /** The last word has been said: an end of the stream is now no loss. */
  #finished = false;

  constructor(
    transport: StdioTransport,
    greeting: Greeting,
    { role, silence = SILENCE_TIMEOUT, timeouts = timeoutsFor(), spawned = false }: SessionOptions,
  ) {
    this.peer = greeting.peer;
    this.noise = greeting.noise;
    this.#role = role;
    this.#spawned = spawned;
    this.#transport = transport;
    this.#startRead = transport.bytesRead;
    this.#startWritten = transport.bytesWritten;
    this.#control.promise.catch(() => {});
    transport.on("error", (error) => this.#lose(error));
    transport.once("end", () => this.#lose());
    this.#closed = new Promise((resolve) => (transport.closed ? resolve() : transport.once("close", resolve)));
    void this.#closed.then(() => this.#control.reject(lost()));
    const session = openSession(role, transport);
    this.#session = session;
    session.on("error", (error) => this.#lose(error));
    session.on("stream", (stream, headers) => this.#accept(stream, headers[":method"], headers[":authority"]));
    session.once("close", () => {
      this.#lose();
      transport.destroy();
    });
    this.#messages.listen("failure", (message) => this.#end(remoteFailure(message)));
    const ping = (): void => void (session.destroyed || session.ping(() => {}));
    const rest = keepAlive(transport, silence, ping, () => this.#end(silent(silence)));
    transport.once("close", rest);
    const leave = watchMovement(
      () => this.#moved,
      timeouts,
      (ms) => this.#refuse(stuck(ms)),
    );
    transport.once("close", leave);
    if (role === "receiver") this.#openControl(this.connect(CONTROL_SERVICE));
    else this.#services.set(CONTROL_SERVICE, (stream) => this.#openControl(stream));
    // The far end's hello may have been its last word.
    if (transport.readableEnded || transport.destroyed) this.#lose();
  }

  /** Aborted when the tunnel ends before its time; the reason is a {@link Failure}. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** Bytes sent through the tunnel since the hellos. */
  get bytesSent(): number {
    return this.#transport.bytesWritten - this.#startWritten;
  }

  /** Bytes received through the tunnel since the hellos. */
  get bytesReceived(): number {
    return this.#transport.bytesRead - this.#startRead;
  }

  /** Resolves when the transport is closed. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /**
   * Opens a stream to a service of the sender (receiver only); throws when the tunnel has ended.
   * The caller owns the stream, which errors when the tunnel ends. To destroy it before its end is to reset it.
   */
  connect(service: string): Duplex {
    this.signal.throwIfAborted();
    if (this.#session.closed) throw new Failure("link-lost", "the tunnel is closed");
    if (!("request" in this.#session)) throw new Error("only the receiver opens streams");
    const request = this.#session.request as (headers: Record<string, string>) => Http2Stream & Duplex;
    const stream = request.call(this.#session, { ":method": "CONNECT", ":authority": service });
    this.#hold(stream);
    stream.once("response", (headers: Record<string, unknown>) => {
      if (headers[":status"] !== 200) stream.destroy(new Error(`the remote side has no service ${service}`));
    });
    return stream;
  }

  /** Answers streams to a service (sender only). `accept` owns each stream. */
  listen(service: string, accept: Accept): void {
    this.#services.set(service, accept);
  }

  /** Sends a message of the program above. */
  async send(message: Message): Promise<void> {
    const control = await this.#control.promise;
    await control.send(message);
  }

  /** Hears messages of one type. One listener a type; what it throws ends the tunnel. */
  on(type: string, listener: (message: Message) => void): void {
    const early = this.#messages.listen(type, listener);
    if (early !== undefined) this.#hear(early);
  }

  /** The next message of one type; rejects when the tunnel ends first. */
  next(type: string): Promise<Message> {
    const { promise, resolve, reject } = deferred<Message>();
    this.on(type, (message) => {
      this.#messages.leave(type);
      resolve(message);
    });
    const onEnd = (): void => reject(this.signal.aborted ? this.signal.reason : lost());
    this.signal.addEventListener("abort", onEnd, { once: true });
    void this.#closed.then(onEnd);
    return promise;
  }

  /** The receiver's last word: sends the result, waits until it has arrived, and closes. True when that was confirmed. */
  async finish(result: Record<string, unknown>): Promise<boolean> {
    const confirmed = this.next("received").then(
      () => true,
      () => false,
    );
    await this.send({ type: "result", ...result });
    this.#finished = true;
    const arrived = await resolveWithin(FAREWELL_TIMEOUT * 5, confirmed);
    if (arrived === true && this.#spawned) this.#drop(); // a close in good order costs a round trip more
    await this.close();
    return arrived ?? false;
  }

  /** The sender's last wait: the receiver's result, confirmed to it. Rejects when the tunnel ends without one. */
  async result(): Promise<Message> {
    const result = await this.next("result");
    await this.send({ type: "received" });
    await resolveWithin(FAREWELL_TIMEOUT, this.#closed); // the receiver closes, once it has read that
    return result;
  }

  /** Tells the far end why this end gives up, then closes. True when the words left in time. */
  async fail(failure: Failure): Promise<boolean> {
    if (this.signal.aborted || this.#finished) return false;
    this.#finished = true; // that the far end goes when it hears this is no loss
    const told = await this.#tell(failure);
    await this.close();
    return told;
  }

  /** Ends the tunnel from this side: open streams are reset, messages that were sent leave first. Idempotent. */
  async close(): Promise<void> {
    this.#finished = true;
    for (const stream of this.#streams) if (!stream.closed) stream.destroy();
    this.#channel?.end();
    if (!this.#session.closed) this.#session.close();
    await resolveWithin(FAREWELL_TIMEOUT, this.#closed);
    this.#session.destroy();
    this.#transport.destroy();
    await this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #accept(stream: Http2Stream, method: string | undefined, service: string | undefined): void {
    this.#hold(stream);
    if (stream.closed) return; // opened and reset in one breath
    const respond = (stream as unknown as { respond(headers: object, options?: object): void }).respond.bind(stream);
    const accept = method === "CONNECT" && service !== undefined ? this.#services.get(service) : undefined;
    if (accept === undefined) return respond({ ":status": 404 }, { endStream: true });
    respond({ ":status": 200 });
    accept(stream);
  }

  /** A reset must never be an uncaught error, also when whoever owned the stream has let go of it. */
  #hold(stream: Http2Stream): void {
    resetUnlessComplete(stream);
    countData(stream, (bytes) => this.#move(bytes));
    this.#streams.add(stream);
    stream.on("error", () => {});
    stream.once("close", () => this.#streams.delete(stream));
  }

  #move(bytes: number): void {
    this.#moved += bytes;
    this.onMoved?.();
  }

  #openControl(stream: Duplex): void {
    const channel = new ControlChannel(
      stream,
      (message) => this.#hear(message),
      (failure) => this.#refuse(failure),
    );
    this.#channel = channel;
    this.#streams.delete(stream as Http2Stream);
    stream.once("close", () => this.#lose());
    this.#control.resolve(channel);
  }

  #hear(message: Message): void {
    // From now on the end of the stream is no loss, whether or not somebody waits for the result yet.
    if (message.type === "result" && this.#role === "sender") this.#finished = true;
    try {
      this.#messages.deliver(message);
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** What came is not to be borne: says so to the far end, then ends for that reason. */
  #refuse(reason: unknown): void {
    if (this.signal.aborted || this.#finished) return;
    this.#ended.abort(reason);
    const told = reason instanceof Failure ? this.#tell(reason) : Promise.resolve(false);
    void told.then(() => this.#drop());
  }

  async #tell({ code, message, expected, hint }: Failure): Promise<boolean> {
    const channel = await resolveWithin(
      FAREWELL_TIMEOUT,
      this.#control.promise.catch(() => undefined),
    );
    if (channel === undefined || this.#transport.destroyed) return false;
    const left = await resolveWithin(
      FAREWELL_TIMEOUT,
      channel.send({ type: "failure", code, message, expected, hint }),
    );
    return left === true;
  }

  #lose(cause?: Error): void {
    if (this.#finished || this.signal.aborted) return;
    this.#end(lost(cause));
  }

  #end(reason: unknown): void {
    if (this.signal.aborted || this.#finished) return;
    this.#ended.abort(reason);
    this.#control.reject(reason);
    this.#drop();
  }

  #drop(): void {
    this.#session.destroy();
    this.#transport.destroy();
  }
}
