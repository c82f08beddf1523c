import { Failure } from "../../output/errors.ts";
import { deadline } from "../../streams/deadline.ts";
import type { Timeouts } from "../../streams/timeouts.ts";
import { isOneStream, type EngineAddress, type EngineEndpoint } from "../connect/endpoint.ts";
import { openConnections, type EngineConnections } from "../connect/open-connections.ts";
import { connectHttp2 } from "../grpc/connect-grpc.ts";
import type { GrpcConnection } from "../grpc/grpc-connection.ts";
import { overHttp1 } from "../http/http1.ts";
import { Http2Connection } from "../http/http2.ts";
import type { HttpAnswer, HttpRequest, Send } from "../http/requests.ts";
import { engineSilent } from "./errors.ts";

export interface ConnectionOptions {
  /** Aborting it ends an attempt to connect. */
  signal?: AbortSignal | undefined;
  timeouts: Timeouts;
  /** Called before ssh logs in again, which may require the password again. */
  onAnotherLogin?: (() => void) | undefined;
}

/**
 * The connections to one engine: several with HTTP/1.1, one with HTTP/2 that all requests share if the engine supports it, and one for
 * gRPC, which may be the shared one.
 */
export class ApiConnections implements AsyncDisposable {
  /** The API's path prefix. */
  readonly prefix: string;
  readonly #address: EngineAddress;
  readonly #connections: EngineConnections;
  readonly #signal: AbortSignal;
  readonly #leaving = new AbortController();
  readonly #overHttp1: Send;
  /** Carries all requests while it is open. After it has broken, requests use HTTP/1.1. */
  #shared: Http2Connection | undefined;
  #grpc: Promise<GrpcConnection | undefined> | undefined;

  private constructor(address: EngineAddress, connections: EngineConnections, signal: AbortSignal | undefined) {
    this.prefix = address.protocol === "tcp" ? address.pathPrefix : "";
    this.#address = address;
    this.#connections = connections;
    this.#signal = AbortSignal.any([this.#leaving.signal, ...(signal === undefined ? [] : [signal])]);
    this.#overHttp1 = overHttp1(connections.agent);
  }

  /** Connects only if the engine is known to support HTTP/2. Otherwise, the first request connects. */
  static async open(endpoint: EngineEndpoint, options: ConnectionOptions): Promise<ApiConnections> {
    const { signal, onAnotherLogin } = options;
    const connections = await openConnections(endpoint.address, onAnotherLogin);
    const opened = new ApiConnections(endpoint.address, connections, signal);
    opened.#shared = await openShared(endpoint, options);
    return opened;
  }

  async send(request: HttpRequest): Promise<HttpAnswer> {
    return await (this.#shared?.isClosed === false ? this.#shared.send(request) : this.#overHttp1(request));
  }

  /**
   * Returns the connection for gRPC; undefined if the engine offers none. Reconnects if the connection has broken. Concurrent callers share
   * the attempt.
   *
   * @param offered the newest API version that the engine supports
   */
  async grpc(offered: string): Promise<GrpcConnection | undefined> {
    const before = this.#grpc;
    if ((await before)?.isClosed === true && this.#grpc === before) this.#grpc = undefined;
    return await (this.#grpc ??= this.#connectGrpc(offered));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leaving.abort(new Error("the engine has been disposed"));
    const grpc = await this.#grpc?.catch(() => undefined);
    grpc?.[Symbol.dispose]();
    this.#shared?.[Symbol.dispose]();
    await this.#connections[Symbol.asyncDispose]();
  }

  async #connectGrpc(offered: string): Promise<GrpcConnection | undefined> {
    const { grpcOver } = await import("../grpc/grpc-connection.ts"); // loads the gRPC library
    if (this.#shared?.isClosed === false) return grpcOver(this.#shared, { isShared: true });
    const [address, connections, signal] = [this.#address, this.#connections, this.#signal];
    const found = await connectHttp2({ address, connections, offered, prefix: this.prefix, signal });
    if (found === undefined) return undefined;
    const { connection, takesRequests } = found;
    // The connection over the second run of a program can carry all requests.
    const isShared = takesRequests && isOneStream(address);
    if (isShared) this.#shared = connection;
    return grpcOver(connection, { isShared });
  }
}

/** Opens the connection that requests share; undefined if the engine is not known to support HTTP/2, or does not. */
async function openShared(
  endpoint: EngineEndpoint,
  { signal, timeouts }: ConnectionOptions,
): Promise<Http2Connection | undefined> {
  const { address } = endpoint;
  if (address.protocol !== "stream" || address.speaksHttp2 !== true) return undefined;
  using limit = deadline(timeouts.answer, signal);
  try {
    return await Http2Connection.open(address.open(), { signal: limit.signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (limit.isOver) throw engineSilent(endpoint, "on its connection", timeouts.answer);
    if (error instanceof Failure) throw error; // the program has ended
    return undefined;
  }
}
