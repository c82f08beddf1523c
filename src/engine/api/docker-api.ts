import { cleanUpUnread } from "../../streams/clean-up-unread.ts";
import { timeoutsFor, type Timeouts } from "../../streams/timeouts.ts";
import { isOneStream, type EngineEndpoint } from "../connect/endpoint.ts";
import { EngineError } from "../engine-error.ts";
import type { GrpcConnection } from "../grpc/grpc-connection.ts";
import type { HttpAnswer } from "../http/requests.ts";
import { sendWithTimeLimit, type SilenceLimit, type TimedAnswer } from "../http/send-with-time-limit.ts";
import { ApiConnections } from "./api-connections.ts";
import { answerError, connectionFailure, engineSilent } from "./errors.ts";
import { httpRequest, type ApiRequest, type Method } from "./request.ts";
import { parseBody, wordsOf } from "./response-body.ts";
import { stopSignal } from "./stop-signal.ts";

/** Bytes of a JSON body, to bound memory. Real ones are small. */
const MAX_BODY = 64 * 1024 * 1024;

interface ApiAnswer {
  status: number;
  headers: HttpAnswer["headers"];
  body: AsyncIterableIterator<Buffer>;
}

export interface ApiOptions {
  /** Aborting it ends requests, see {@link ApiRequest.effect}. */
  signal?: AbortSignal | undefined;
  /** --timeout, ms */
  timeout?: number | undefined;
  /** Called before ssh logs in again, which may require the password again. */
  onAnotherLogin?: (() => void) | undefined;
}

/** Prepares the API at an endpoint. Connects only if the engine is known to support HTTP/2. Otherwise, the first request connects. */
export async function openApi(endpoint: EngineEndpoint, options: ApiOptions = {}): Promise<DockerApi> {
  const { signal, timeout, onAnotherLogin } = options;
  const timeouts = timeoutsFor(timeout);
  const connections = await ApiConnections.open(endpoint, { signal, timeouts, onAnotherLogin });
  return new DockerApi(endpoint, connections, timeouts, signal);
}

/**
 * The Docker Engine API at one endpoint. Requests reject with `Failure` `engine-unreachable` when the connection fails, with
 * `answerError`'s error for an error status, and with the signal's reason after an abort, which ends the HTTP request.
 *
 * Uses Node's HTTP client instead of a library (docs/decisions/engine-requests-by-node.md).
 */
export class DockerApi implements AsyncDisposable {
  readonly endpoint: EngineEndpoint;
  /** Aborting it ends requests, see {@link ApiRequest.effect}. */
  readonly signal: AbortSignal | undefined;
  /** How long the engine may be silent. */
  readonly timeouts: Timeouts;
  /** Bytes sent and received by requests with the timeout `work`. While it grows, the engine makes progress. */
  moved = 0;
  /** The API version of requests, e.g. `1.51`; undefined before the two sides have agreed on it. */
  version: string | undefined;
  /** The newest version that the engine supports. */
  offered: string | undefined;
  readonly #connections: ApiConnections;
  readonly #isOnlyConnection: boolean;
  /** Requests under way. */
  #underWay = 0;
  #isClosed = false;

  constructor(endpoint: EngineEndpoint, connections: ApiConnections, timeouts: Timeouts, signal?: AbortSignal) {
    this.endpoint = endpoint;
    this.signal = signal;
    this.timeouts = timeouts;
    this.#connections = connections;
    this.#isOnlyConnection = isOneStream(endpoint.address);
  }

  /** Returns the answer's JSON; undefined for an empty body. */
  async json(method: Method, path: string, request?: ApiRequest): Promise<unknown> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of await this.stream(method, path, request)) {
      size += chunk.length;
      if (size > MAX_BODY) throw new EngineError(`the answer to ${method} ${path} is longer than ${MAX_BODY} bytes`);
      chunks.push(chunk);
    }
    return parseBody(Buffer.concat(chunks).toString("utf8"), `${method} ${path}`);
  }

  /** Returns the answer's body for one `for await`. Leaving the loop early, or calling `return` before it, ends the request. */
  async stream(method: Method, path: string, request?: ApiRequest): Promise<AsyncIterableIterator<Buffer>> {
    const { status, body } = await this.raw(method, path, request);
    if (status >= 200 && status < 300) return body;
    throw answerError(await wordsOf(body), status);
  }

  /** Like `stream`, but resolves with any status. */
  async raw(method: Method, path: string, request: ApiRequest = {}): Promise<ApiAnswer> {
    const ended = this.#stopSignal(request);
    this.#underWay += 1;
    try {
      const version = this.version === undefined ? "" : `/v${this.version}`;
      const { answer, stop } = await sendWithTimeLimit(
        async (sent) => await this.#connections.send(sent),
        httpRequest(method, `${this.#connections.prefix}${version}${path}`, request, ended),
        {
          limit: this.#limitOf(request),
          reasonOf: (ms) => engineSilent(this.endpoint, `to ${method} ${path}`, ms),
          onMoved: (bytes) => {
            if (request.timeout === "work") this.moved += bytes;
          },
        },
      );
      const body = cleanUpUnread(this.#readBody(answer, stop), () => {
        this.#underWay -= 1;
        void answer.body.return?.();
      });
      return { status: answer.status, headers: answer.headers, body };
    } catch (error) {
      this.#underWay -= 1;
      ended.throwIfAborted();
      throw connectionFailure(error, this.endpoint);
    }
  }

  /**
   * Returns a connection to the engine's gRPC services (BuildKit, the content store); undefined if the engine offers none. All callers
   * share one connection, which is closed with the engine. Aborting `signal` ends only the wait.
   */
  async grpc(signal?: AbortSignal): Promise<GrpcConnection | undefined> {
    const stop = this.#stopSignal({ signal });
    return await Promise.race([this.#connections.grpc(this.offered ?? ""), rejectedBy(stop)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#connections[Symbol.asyncDispose]();
  }

  /** Returns the signal that ends a request. Throws if the signal is already aborted or the engine has been disposed. */
  #stopSignal(request: ApiRequest): AbortSignal {
    const stop = stopSignal(request, this.signal, this.endpoint);
    stop.throwIfAborted();
    if (this.#isClosed) throw new Error("the engine has been disposed");
    return stop;
  }

  #limitOf({ timeout: kind, effect }: ApiRequest): SilenceLimit {
    if (kind === "none" || effect === "removes") return () => Infinity;
    if (kind === "work") return (given) => this.timeouts.workFor(given);
    // If there is only one connection, an answer may have to wait for the data of another request.
    return () => (this.#isOnlyConnection && this.#underWay > 1 ? this.timeouts.work : this.timeouts.answer);
  }

  async *#readBody(answer: TimedAnswer, stop: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const { body, isWhole, brokenBy } = answer;
    try {
      yield* body;
      if (!isWhole()) throw new Error("it closed the connection in the middle of its answer");
    } catch (error) {
      stop.throwIfAborted();
      throw connectionFailure(brokenBy() ?? error, this.endpoint);
    } finally {
      this.#underWay -= 1;
    }
  }
}

async function rejectedBy(signal: AbortSignal): Promise<never> {
  return await new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
