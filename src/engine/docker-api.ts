import type { Readable } from "node:stream";
import { inspect } from "node:util";
import { isOneStream, type EngineEndpoint } from "./endpoint.ts";
import { openConnections } from "./engine-agent.ts";
import { EngineError } from "./engine.ts";
import { answerError, connectionFailure } from "./engine-errors.ts";
import { Failure } from "../output/errors.ts";
import { connectHttp2 } from "./connect-grpc.ts";
import { abortedLater } from "./grace.ts";
import type { GrpcConnection } from "./grpc/connection.ts";
import { overHttp1 } from "./http/http1.ts";
import { Http2Connection } from "./http/http2.ts";
import type { HttpAnswer, HttpRequest, Send } from "./http/requests.ts";

/** Bodies that are no streams are small; this keeps memory bounded, bytes. */
const MAX_BODY = 64 * 1024 * 1024;

/** As much of an error as is shown, characters. */
const MAX_WORDS = 4096;

/** How long a change may take after there is no interest in it any more, and how long a removal may take, ms. */
const GRACE = 15_000;

interface ApiRequest {
  /** Objects become JSON; undefined ones are left out. */
  query?: Record<string, string | number | boolean | object | undefined>;
  /** Sent as JSON. */
  body?: object;
  /** Sent as a tar archive. A stream is read to its end. */
  archive?: Buffer | Readable;
  /** Sent as `X-Registry-Auth` and nowhere else. */
  registryAuth?: object;
  /** Aborting it ends the request, like aborting the engine's own signal does. */
  signal?: AbortSignal | undefined;
  /**
   * What a request leaves behind says when it is ended. By default, nothing: at once.
   * - `makes`: its answer names what has come to be, or the order of what follows counts. It may take {@link GRACE} more.
   * - `completes`: nothing ends it once it has begun.
   * - `removes`: no signal ends it, because that is when it is wanted; it may take {@link GRACE} in all.
   */
  effect?: "makes" | "removes" | "completes";
}

interface ApiAnswer {
  status: number;
  headers: HttpAnswer["headers"];
  body: AsyncIterable<Buffer>;
}

/**
 * The Docker Engine API over one endpoint. Rejects with `Failure` `engine-unreachable` when the connection fails, with what
 * `answerError` makes of an error status, and with a signal's reason when that is aborted, which ends the HTTP request.
 */
export interface DockerApi extends AsyncDisposable {
  readonly endpoint: EngineEndpoint;
  /** Of everything that is asked; undefined when nothing is to end it. */
  readonly signal: AbortSignal | undefined;
  /** The version that requests are made with, e.g. `1.51`; undefined until it has been agreed on. */
  version: string | undefined;
  /** The newest that the engine speaks. */
  offered: string | undefined;
  /** The answer as JSON; undefined when it is empty. */
  json(method: Method, path: string, request?: ApiRequest): Promise<unknown>;
  /** The answer's body, as it comes, for one `for await`. Ending the loop early ends the request. */
  stream(method: Method, path: string, request?: ApiRequest): Promise<AsyncIterable<Buffer>>;
  /** As `stream`, whatever the status is. */
  raw(method: Method, path: string, request?: ApiRequest): Promise<ApiAnswer>;
  /**
   * gRPC with what is built into the engine (BuildKit, the content store); undefined where that is not to be had, in a moment. It is
   * connected once, and ends with the engine. `signal` ends the waiting for it, and not the connection.
   */
  grpc(signal?: AbortSignal): Promise<GrpcConnection | undefined>;
}

type Method = "GET" | "POST" | "PUT" | "DELETE";

export interface ApiOptions {
  /** Of everything that is asked, see {@link ApiRequest.effect}. */
  signal?: AbortSignal | undefined;
  /** Hears before ssh logs in once more, which may ask for a password again. */
  onAnotherLogin?: (() => void) | undefined;
}

/**
 * By Node's own HTTP, and no client library: dockerode 5 took 0.1 s to load on each side, for ssh and gRPC that nobody used here, and
 * what was used of it was one function below its API; and an engine that speaks HTTP/2 gets both, requests and gRPC, on one connection.
 */
export async function openApi(
  endpoint: EngineEndpoint,
  { signal, onAnotherLogin }: ApiOptions = {},
): Promise<DockerApi> {
  const { address } = endpoint;
  const connections = await openConnections(address, onAnotherLogin);
  const prefix = address.protocol === "tcp" ? address.pathPrefix : "";
  const overAgent = overHttp1(connections.agent);
  let closed = false;
  const leaving = new AbortController();
  let shared: Http2Connection | undefined;
  // What is left to do when it has broken goes as it would without it.
  const send: Send = async (request) => await (shared?.isClosed === false ? shared.send(request) : overAgent(request));
  let grpc: Promise<GrpcConnection | undefined> | undefined;
  const connectGrpc = async (): Promise<GrpcConnection | undefined> => {
    const { grpcOver } = await import("./grpc/connection.ts"); // with its library
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
    try {
      shared = await Http2Connection.open(address.open(), signal ?? new AbortController().signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof Failure) throw error; // its program has ended
    }
  }

  const api: DockerApi = {
    endpoint,
    signal,
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
      const stop = stopOf(request);
      stop.throwIfAborted();
      if (closed) throw new Error("the engine has been disposed");
      try {
        const version = api.version === undefined ? "" : `/v${api.version}`;
        const answer = await send(httpRequest(method, `${prefix}${version}${path}`, request, stop));
        return { status: answer.status, headers: answer.headers, body: explained(answer, stop) };
      } catch (error) {
        stop.throwIfAborted();
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

  function stopOf(request: ApiRequest): AbortSignal {
    if (request.effect === "removes") {
      const late = connectionFailure(new Error(`no answer within ${GRACE / 1000} s`), endpoint);
      return abortedLater(AbortSignal.abort(late), GRACE);
    }
    const stop = AbortSignal.any([signal, request.signal].filter((one) => one !== undefined));
    // Interrupted, a load can hang the next one until the engine restarts (moby #51623).
    if (request.effect === "completes") return new AbortController().signal;
    return request.effect === "makes" && !stop.aborted ? abortedLater(stop, GRACE) : stop;
  }

  async function* explained(answer: HttpAnswer, stop: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const { body, isWhole, brokenBy } = answer;
    try {
      for await (const chunk of body) yield chunk as Buffer;
      if (!isWhole()) throw new Error("it hung up in the middle of its answer");
    } catch (error) {
      stop.throwIfAborted();
      throw connectionFailure(brokenBy() ?? error, endpoint);
    } finally {
      body.destroy();
    }
  }
}

function httpRequest(
  method: Method,
  path: string,
  { query = {}, body, archive, registryAuth }: ApiRequest,
  signal: AbortSignal,
): HttpRequest {
  const json = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const sent = archive ?? json;
  const type = archive === undefined ? "application/json" : "application/x-tar";
  const headers = {
    "user-agent": "docker-over-ssh",
    ...(sent !== undefined && { "content-type": type }),
    ...(Buffer.isBuffer(sent) && { "content-length": sent.length }),
    ...(method === "POST" && sent === undefined && { "content-length": 0 }),
    ...(registryAuth !== undefined && { "x-registry-auth": secret(registryAuth) }),
  };
  const words = new URLSearchParams(defined(query)).toString();
  return { method, path: words === "" ? path : `${path}?${words}`, headers, body: sent, signal };
}

/** The value of a header that holds a password: an object that turns into its text where Node joins the headers. */
function secret(value: object): string {
  // The URL's alphabet, but padded: Go's URLEncoding takes nothing else, and the engine then sees no password at all.
  const text = Buffer.from(JSON.stringify(value)).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
  return unprinted({ toString: () => text }) as unknown as string;
}

/** A value of which nothing is shown when it is printed. */
function unprinted<T extends object>(value: T): T {
  return Object.defineProperty(value, inspect.custom, { value: () => "(not shown)" });
}

function defined(query: NonNullable<ApiRequest["query"]>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(query).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, typeof value === "object" ? JSON.stringify(value) : String(value)]],
    ),
  );
}

function parseBody(text: string, what: string): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new EngineError(`the answer to ${what} is not JSON`, undefined, { cause: error });
  }
}

/** `{"message": …}`, or what a proxy in between says in plain text. */
async function wordsOf(body: AsyncIterable<Buffer>): Promise<string> {
  let text = "";
  for await (const chunk of body) {
    text += chunk.toString("utf8");
    if (text.length > MAX_WORDS) break;
  }
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === "string") return message;
  } catch {
    // plain text
  }
  return text.slice(0, MAX_WORDS);
}

async function rejectedBy(signal: AbortSignal): Promise<never> {
  return await new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
