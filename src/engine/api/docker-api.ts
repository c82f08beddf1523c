import { httpRequest, type ApiRequest, type Method } from "./request.ts";
import { parseBody, wordsOf } from "./response-body.ts";
import { isOneStream, type EngineEndpoint } from "../connect/endpoint.ts";
import { openConnections } from "../connect/open-connections.ts";
import { EngineError } from "../engine-error.ts";
import { answerError, connectionFailure, engineSilent } from "./errors.ts";
import { Failure } from "../../output/errors.ts";
import { connectHttp2 } from "../buildkit/connect-grpc.ts";
import { delayAbort } from "../../streams/delay-abort.ts";
import type { GrpcConnection } from "../buildkit/grpc-connection.ts";
import { overHttp1 } from "../http/http1.ts";
import { Http2Connection } from "../http/http2.ts";
import { sendPatiently, type Limit, type PatientAnswer } from "../http/patient.ts";
import type { HttpAnswer, Send } from "../http/requests.ts";
import { deadline } from "../../streams/deadline.ts";
import { timeoutsFor, type Timeouts } from "../../streams/timeouts.ts";
import { cleanUpUnread } from "../../streams/clean-up-unread.ts";

/** Bodies that are no streams are small; this keeps memory bounded, bytes. */
const MAX_BODY = 64 * 1024 * 1024;

/** How long a change may take after there is no interest in it any more, and how long a removal may take, ms. */
const GRACE = 15_000;

interface ApiAnswer {
  status: number;
  headers: HttpAnswer["headers"];
  body: AsyncIterableIterator<Buffer>;
}

/**
 * The Docker Engine API over one endpoint. Rejects with `Failure` `engine-unreachable` when the connection fails, with what
 * `answerError` makes of an error status, and with a signal's reason when that is aborted, which ends the HTTP request.
 */
export interface DockerApi extends AsyncDisposable {
  readonly endpoint: EngineEndpoint;
  /** Of everything that is asked; undefined when nothing is to end it. */
  readonly signal: AbortSignal | undefined;
  /** How long it may be silent. */
  readonly timeouts: Timeouts;
  /** Bytes that have gone to it and come from it in what it works on, so that others see that it gets on. */
  moved: number;
  /** The version that requests are made with, e.g. `1.51`; undefined until it has been agreed on. */
  version: string | undefined;
  /** The newest that the engine speaks. */
  offered: string | undefined;
  /** The answer as JSON; undefined when it is empty. */
  json(method: Method, path: string, request?: ApiRequest): Promise<unknown>;
  /** The answer's body, as it comes, for one `for await`. Ending the loop early, or before it begins (`return`), ends the request. */
  stream(method: Method, path: string, request?: ApiRequest): Promise<AsyncIterableIterator<Buffer>>;
  /** As `stream`, whatever the status is. */
  raw(method: Method, path: string, request?: ApiRequest): Promise<ApiAnswer>;
  /**
   * gRPC with what is built into the engine (BuildKit, the content store); undefined where that is not to be had, in a moment. It is
   * connected once, and ends with the engine. `signal` ends the waiting for it, and not the connection.
   */
  grpc(signal?: AbortSignal): Promise<GrpcConnection | undefined>;
}

export interface ApiOptions {
  /** Of everything that is asked, see {@link ApiRequest.effect}. */
  signal?: AbortSignal | undefined;
  /** --timeout, ms */
  timeout?: number | undefined;
  /** Hears before ssh logs in once more, which may ask for a password again. */
  onAnotherLogin?: (() => void) | undefined;
}

/**
 * By Node's own HTTP, and no client library: dockerode 5 took 0.1 s to load on each side, for ssh and gRPC that nobody used here, and
 * what was used of it was one function below its API; and an engine that speaks HTTP/2 gets both, requests and gRPC, on one connection.
 */
export async function openApi(
  endpoint: EngineEndpoint,
  { signal, timeout, onAnotherLogin }: ApiOptions = {},
): Promise<DockerApi> {
  const { address } = endpoint;
  const connections = await openConnections(address, onAnotherLogin);
  const prefix = address.protocol === "tcp" ? address.pathPrefix : "";
  const overAgent = overHttp1(connections.agent);
  const timeouts = timeoutsFor(timeout);
  const alone = isOneStream(address);
  /** Requests under way. */
  let underWay = 0;
  let closed = false;
  const leaving = new AbortController();
  let shared: Http2Connection | undefined;
  // What is left to do when it has broken goes as it would without it.
  const send: Send = async (request) => await (shared?.isClosed === false ? shared.send(request) : overAgent(request));
  let grpc: Promise<GrpcConnection | undefined> | undefined;
  const connectGrpc = async (): Promise<GrpcConnection | undefined> => {
    const { grpcOver } = await import("../buildkit/grpc-connection.ts"); // with its library
    if (shared?.isClosed === false) return grpcOver(shared, { isShared: true });
    const until = AbortSignal.any([leaving.signal, ...(signal === undefined ? [] : [signal])]);
    const { offered = "" } = api;
    const found = await connectHttp2({ address, connections, offered, prefix, signal: until });
    if (found === undefined) return undefined;
    const { connection, takesRequests } = found;
    // Of a program that was run twice, the second one is enough.
    const isShared = takesRequests && isOneStream(address);
    if (isShared) shared = connection;
    return grpcOver(connection, { isShared });
  };
  /** Connected anew when it has broken, once for all who ask. */
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
      if (error instanceof Failure) throw error; // its program has ended
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
        const { answer, stop } = await sendPatiently(
          send,
          httpRequest(method, `${prefix}${version}${path}`, request, ended),
          {
            limit: limitOf(request),
            reasonOf: (ms) => engineSilent(endpoint, `to ${method} ${path}`, ms),
            onMoved: (bytes) => {
              if (request.patience === "work") api.moved += bytes;
            },
          },
        );
        const body = cleanUpUnread(explained(answer, stop), () => {
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

  function limitOf({ patience: kind, effect }: ApiRequest): Limit {
    if (kind === "none" || effect === "removes") return () => Infinity;
    if (kind === "work") return (given) => timeouts.workFor(given);
    // On the only connection, an answer may wait behind what another request moves.
    return () => (alone && underWay > 1 ? timeouts.work : timeouts.answer);
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

  async function* explained(answer: PatientAnswer, stop: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
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
