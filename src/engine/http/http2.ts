import { once } from "node:events";
import {
  connect,
  constants,
  type ClientHttp2Session,
  type ClientSessionRequestOptions,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { Duplex } from "node:stream";
import { write } from "./http1.ts";
import { HOST, type HttpAnswer, type HttpRequest } from "./requests.ts";

/** Flow control windows in bytes, for a stream and for all: with Node's 64 kB, blobs arrived at 30 MB/s, with 8 MB at 330 MB/s. */
const WINDOWS = { stream: 4 * 1024 * 1024, session: 16 * 1024 * 1024 };
/**
 * For an engine on the same machine, larger windows only cost memory: with 1 MB, a delta transfer of 546 MB peaked at 175 MB instead of 210
 * MB.
 */
const LOCAL_WINDOWS = { stream: 1024 * 1024, session: 4 * 1024 * 1024 };
/** MB that Node may buffer for a session. With its default of 10 MB, it refuses new streams while blobs are read. */
const SESSION_MEMORY = 64;

/**
 * A connection that speaks HTTP/2 from its first byte ("with prior knowledge", RFC 9113, 3.3). Many requests share it. Owns the stream.
 * Disposing closes the connection and ends every open request.
 */
export class Http2Connection implements Disposable {
  readonly authority = `http://${HOST}`;
  readonly #session: ClientHttp2Session;
  readonly #stream: Duplex;
  #error: Error | undefined;

  private constructor(stream: Duplex, windows: typeof WINDOWS) {
    this.#stream = stream;
    this.#session = connect(this.authority, {
      createConnection: () => stream,
      maxSessionMemory: SESSION_MEMORY,
      settings: { enablePush: false, initialWindowSize: windows.stream },
    });
    this.#session.on("error", (error) => (this.#error ??= error)); // the requests report it
    this.#session.once("connect", () => this.#session.setLocalWindowSize(windows.session));
  }

  /**
   * Opens a connection on `stream`. Resolves when the server's SETTINGS have arrived. Rejects and destroys the stream if the server sends
   * anything else or closes the connection, or if the signal is aborted.
   *
   * @param isLocal whether the engine is on this machine
   */
  static async open(
    stream: Duplex,
    { signal, isLocal = false }: { signal: AbortSignal; isLocal?: boolean },
  ): Promise<Http2Connection> {
    const connection = new Http2Connection(stream, isLocal ? LOCAL_WINDOWS : WINDOWS);
    try {
      signal.throwIfAborted();
      const closed = once(connection.#session, "close").then(() => {
        throw connection.#error ?? stream.errored ?? new Error("it hung up");
      });
      closed.catch(() => {}); // every connection closes in the end
      await Promise.race([once(connection.#session, "remoteSettings", { signal }), closed]);
      return connection;
    } catch (error) {
      connection[Symbol.dispose]();
      signal.throwIfAborted();
      throw error;
    }
  }

  /** The error that broke the connection, if known. */
  get error(): Error | undefined {
    return this.#error ?? this.#stream.errored ?? undefined;
  }

  get isClosed(): boolean {
    return this.#session.closed || this.#session.destroyed;
  }

  /** Opens a stream, for a gRPC library. */
  open(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    options: ClientSessionRequestOptions = {},
  ): ClientHttp2Stream {
    if (this.isClosed) throw this.error ?? new Error("the connection is closed");
    const stream = this.#session.request({ ...headers, ":method": method, ":path": path, ":authority": HOST }, options);
    let isAnswered = false;
    stream.once("response", () => (isAnswered = true));
    stream.once("close", () => {
      // When the connection ends normally, Node closes its streams without an error.
      if (!isAnswered && stream.errored === null) stream.emit("error", this.error ?? new Error("it hung up"));
    });
    return stream;
  }

  async send({ method, path, headers, body, signal, onConnected }: HttpRequest): Promise<HttpAnswer> {
    signal.throwIfAborted();
    const stream = this.open(method, path, headers);
    onConnected?.();
    const onAbort = (): void => void stream.destroy(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    stream.once("close", () => signal.removeEventListener("abort", onAbort));
    return await new Promise((resolve, reject) => {
      stream.on("error", (error) => reject(this.error ?? error));
      stream.once("response", (found: IncomingHttpHeaders & { ":status"?: number }) => {
        // When the connection ends, Node closes unfinished streams with CANCEL and reports a normal end (20.20).
        const isWhole = (): boolean => stream.rstCode === constants.NGHTTP2_NO_ERROR;
        const brokenBy = (): Error | undefined => this.error;
        resolve({ status: found[":status"] ?? 0, headers: found, body: stream, isWhole, brokenBy });
      });
      write(body, stream);
    });
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
    this.#stream.destroy();
  }
}
