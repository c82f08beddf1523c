import { httpRequest, type ApiRequest, type Method } from "./request.ts";
import { parseBody, wordsOf } from "./response-body.ts";
import { isOneStream, type EngineEndpoint } from "../connect/endpoint.ts";
import { openConnections } from "../connect/open-connections.ts";
import { EngineError } from "../engine-error.ts";
import { answerError, connectionFailure, engineSilent } from "./errors.ts";
import { Failure } from "../../output/errors.ts";
import { connectHttp2 } from "../grpc/connect-grpc.ts";
import { delayAbort } from "../../streams/delay-abort.ts";
import type { GrpcConnection } from "../grpc/grpc-connection.ts";
import { overHttp1 } from "../http/http1.ts";
import { Http2Connection } from "../http/http2.ts";
import { sendWithTimeLimit, type SilenceLimit, type TimedAnswer } from "../http/send-with-time-limit.ts";
import type { HttpAnswer, Send } from "../http/requests.ts";
import { deadline } from "../../streams/deadline.ts";
import { timeoutsFor, type Timeouts } from "../../streams/timeouts.ts";
import { cleanUpUnread } from "../../streams/clean-up-unread.ts";

/** Bytes of a JSON body. They are small; the limit bounds memory. */
const MAX_BODY = 64 * 1024 * 1024;

/** ms that a change may take after its signal was aborted, and ms for a removal. */
const GRACE = 15_000;

interface ApiAnswer {
  status: number;
  headers: HttpAnswer["headers"];
  body: AsyncIterableIterator<Buffer>;
}

/**
 * The Docker Engine API at one endpoint. Requests reject with `Failure` `engine-unreachable` when the connection fails, with
 * `answerError`'s error for an error status, and with the signal's reason after an abort, which ends the HTTP request.
 *
 * HTTP is Node's own, without a client library (docs/decisions/engine-requests-by-node.md).
 */
export interface DockerApi extends AsyncDisposable {
  readonly endpoint: EngineEndpoint;
  /** Aborting it ends requests, see {@link ApiRequest.effect}. */
  readonly signal: AbortSignal | undefined;
  /** How long the engine may be silent. */
  readonly timeouts: Timeouts;
  /** Bytes sent and received by requests with the timeout `work`. While it grows, the engine makes progress. */
  moved: number;
  /** The API version of requests, e.g. `1.51`; undefined before the two sides have agreed on it. */
  version: string | undefined;
  /** The newest version that the engine speaks. */
  offered: string | undefined;
  /** Returns the answer's JSON; undefined when the body is empty. */
  json(method: Method, path: string, request?: ApiRequest): Promise<unknown>;
  /** Returns the answer's body for one `for await`. Leaving the loop early, or calling `return` before it, ends the request. */
  stream(method: Method, path: string, request?: ApiRequest): Promise<AsyncIterableIterator<Buffer>>;
  /** As `stream`, but resolves with any status. */
  raw(method: Method, path: string, request?: ApiRequest): Promise<ApiAnswer>;
  /**
   * Returns a connection to the engine's gRPC services (BuildKit, the content store); undefined when the engine offers none. All callers
   * share one, which is closed with the engine. Aborting `signal` ends only the wait.
   */
  grpc(signal?: AbortSignal): Promise<GrpcConnection | undefined>;
}

export interface ApiOptions {
  /** Aborting it ends requests, see {@link ApiRequest.effect}. */
  signal?: AbortSignal | undefined;
  /** --timeout, ms */
  timeout?: number | undefined;
  /** Called before ssh logs in once more, when it may ask for a password again. */
  onAnotherLogin?: (() => void) | undefined;
}

/** Prepares the API at an endpoint. Only where the engine is known to speak HTTP/2 does it connect; otherwise the first request does. */
export async function openApi(
  endpoint: EngineEndpoint,
  { signal, timeout, onAnotherLogin }: ApiOptions = {},
): Promise<DockerApi> {
  const { address } = endpoint;
  const connections = await openConnections(address, onAnotherLogin);
  const prefix = address.protocol === "tcp" ? address.pathPrefix : "";
  const overAgent = overHttp1(connections.agent);
  const timeouts = timeoutsFor(timeout);
  const isOnlyConnection = isOneStream(address);
  /** Requests under way. */
  let underWay = 0;
  let closed = false;
  const leaving = new AbortController();
  let shared: Http2Connection | undefined;
  // After the shared connection has broken, requests use the agent's connections.
  const send: Send = async (request) => await (shared?.isClosed === false ? shared.send(request) : overAgent(request));
  let grpc: Promise<GrpcConnection | undefined> | undefined;
  const connectGrpc = async (): Promise<GrpcConnection | undefined> => {
    const { grpcOver } = await import("../grpc/grpc-connection.ts"); // loads the gRPC library
    if (shared?.isClosed === false) return grpcOver(shared, { isShared: true });
    const until = AbortSignal.any([leaving.signal, ...(signal === undefined ? [] : [signal])]);
    const { offered = "" } = api;
    const found = await connectHttp2({ address, connections, offered, prefix, signal: until });
    if (found === undefined) return undefined;
    const { connection, takesRequests } = found;
    // The second run of a program can carry all requests.
    const isShared = takesRequests && isOneStream(address);
    if (isShared) shared = connection;
    return grpcOver(connection, { isShared });
  };
  /** Connects again when the connection has broken; concurrent callers share the attempt. */
  const openGrpc = async (): Promise<GrpcConnection | undefined> => {
    const before = grpc;
    if ((await before)?.isClosed === true && grpc === before) grpc = undefined;
    return await (grpc ??= connectGrpc());
  };

  if (address.protocol === "stream" && address.speaksHttp2 === true) {
    using limit = deadline(timeouts.answer, signal);
    try {
      shared = await Http2Connection.open(address.open(), limit.signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (limit.isOver) throw engineSilent(endpoint, "on its connection", timeouts.answer);
      if (error instanceof Failure) throw error; // the program has ended
    }
  }

  const api: DockerApi = {
    endpoint,
    signal,
    timeouts,
    moved: 0,
    version: undefined,
    offered: undefined,
    async json(method, path, request) {
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of await api.stream(method, path, request)) {
        size += chunk.length;
        if (size > MAX_BODY) throw new EngineError(`the answer to ${method} ${path} is longer than ${MAX_BODY} bytes`);
        chunks.push(chunk);
      }
      return parseBody(Buffer.concat(chunks).toString("utf8"), `${method} ${path}`);
    },
    async stream(method, path, request = {}) {
      const { status, body } = await api.raw(method, path, request);
      if (status >= 200 && status < 300) return body;
      throw answerError(await wordsOf(body), status);
    },
    async raw(method, path, request = {}) {
      const ended = stopOf(request);
      ended.throwIfAborted();
      if (closed) throw new Error("the engine has been disposed");
      const version = api.version === undefined ? "" : `/v${api.version}`;
      underWay += 1;
      try {
        const { answer, stop } = await sendWithTimeLimit(
          send,
          httpRequest(method, `${prefix}${version}${path}`, request, ended),
          {
            limit: limitOf(request),
            reasonOf: (ms) => engineSilent(endpoint, `to ${method} ${path}`, ms),
            onMoved: (bytes) => {
              if (request.timeout === "work") api.moved += bytes;
            },
          },
        );
        const body = cleanUpUnread(readBody(answer, stop), () => {
          underWay -= 1;
          void answer.body.return?.();
        });
        return { status: answer.status, headers: answer.headers, body };
      } catch (error) {
        underWay -= 1;
        ended.throwIfAborted();
        throw connectionFailure(error, endpoint);
      }
    },
    async grpc(until) {
      const stop = stopOf({ signal: until });
      stop.throwIfAborted();
      if (closed) throw new Error("the engine has been disposed");
      return await Promise.race([openGrpc(), rejectedBy(stop)]);
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      leaving.abort(new Error("the engine has been disposed"));
      const connection = await grpc?.catch(() => undefined);
      connection?.[Symbol.dispose]();
      shared?.[Symbol.dispose]();
      await connections[Symbol.asyncDispose]();
    },
  };
  return api;

  function limitOf({ timeout: kind, effect }: ApiRequest): SilenceLimit {
    if (kind === "none" || effect === "removes") return () => Infinity;
    if (kind === "work") return (given) => timeouts.workFor(given);
    // On the only connection, an answer may wait for the data of another request.
    return () => (isOnlyConnection && underWay > 1 ? timeouts.work : timeouts.answer);
  }

  function stopOf(request: ApiRequest): AbortSignal {
    if (request.effect === "removes") {
      const late = connectionFailure(new Error(`no answer within ${GRACE / 1000} s`), endpoint);
      return delayAbort(AbortSignal.abort(late), GRACE);
    }
    const stop = AbortSignal.any([signal, request.signal].filter((one) => one !== undefined));
    // Interrupted, a load can hang the next one until the engine restarts (moby #51623).
    if (request.effect === "completes") return new AbortController().signal;
    return request.effect === "makes" && !stop.aborted ? delayAbort(stop, GRACE) : stop;
  }

  async function* readBody(answer: TimedAnswer, stop: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const { body, isWhole, brokenBy } = answer;
    try {
      yield* body;
      if (!isWhole()) throw new Error("it hung up in the middle of its answer");
    } catch (error) {
      stop.throwIfAborted();
      throw connectionFailure(brokenBy() ?? error, endpoint);
    } finally {
      underWay -= 1;
    }
  }
}

async function rejectedBy(signal: AbortSignal): Promise<never> {
  return await new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
