import { request as askOver, type Agent, type IncomingMessage } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { inspect } from "node:util";
import Docker from "dockerode";
import type { EngineEndpoint } from "./endpoint.ts";
import { openAgent } from "./engine-agent.ts";
import { EngineError } from "./engine.ts";
import { answerError, connectionFailure } from "./engine-errors.ts";
import { abortedLater } from "./grace.ts";

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
  headers: IncomingMessage["headers"];
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
  /** The answer as JSON; undefined when it is empty. */
  json(method: Method, path: string, request?: ApiRequest): Promise<unknown>;
  /** The answer's body, as it comes, for one `for await`. Ending the loop early ends the request. */
  stream(method: Method, path: string, request?: ApiRequest): Promise<AsyncIterable<Buffer>>;
  /** As `stream`, whatever the status is. */
  raw(method: Method, path: string, request?: ApiRequest): Promise<ApiAnswer>;
  /** The connection itself, when the engine switches it to another protocol; undefined when it does not. The caller owns it. */
  upgrade(path: string, protocol: string, signal: AbortSignal): Promise<Duplex | undefined>;
}

type Method = "GET" | "POST" | "PUT" | "DELETE";

/**
 * The one place that knows dockerode. Requests go through its `modem.dial`, one level below the methods that are named after
 * API calls, because of three things in docker-modem 5.0.7 and dockerode 5.0.1:
 * - a body that breaks off is never reported when it was asked for as JSON: the promise stays pending. As a stream it fails;
 * - `image.inspect` drops its query, `platform` with it;
 * - the engine's own words are buried in a message; here every status counts as expected and the body is read.
 *
 * With DEBUG=modem it prints what it sends, with all that hangs on it: hence {@link unprinted}.
 *
 * @param signal Of everything that is asked, see {@link ApiRequest.effect}.
 */
export async function openApi(endpoint: EngineEndpoint, signal?: AbortSignal): Promise<DockerApi> {
  const connections = await openAgent(endpoint.address);
  const options = {
    host: "http://docker", // the Host header; the agent knows where to connect, whatever that says
    protocol: "http" as const,
    agent: unprinted(connections.agent), // it knows the requests that are under way, and they know their headers
    headers: { "User-Agent": "docker-over-ssh" },
  };
  const { modem } = withoutDockerHost(() => new Docker(options));
  const prefix = endpoint.address.protocol === "tcp" ? endpoint.address.pathPrefix : "";
  let closed = false;

  const api: DockerApi = {
    endpoint,
    signal,
    version: undefined,
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
        const body = await dial(modem, method, `${prefix}${version}${path}`, request, stop);
        return { status: body.statusCode ?? 0, headers: body.headers, body: explained(body, stop) };
      } catch (error) {
        stop.throwIfAborted();
        throw connectionFailure(error, endpoint);
      }
    },
    async upgrade(path, protocol, until) {
      const stop = stopOf({ signal: until });
      stop.throwIfAborted();
      if (closed) throw new Error("the engine has been disposed");
      try {
        return await switchProtocol(connections.agent, `${prefix}${path}`, protocol, stop);
      } catch (error) {
        stop.throwIfAborted();
        throw connectionFailure(error, endpoint);
      }
    },
    async [Symbol.asyncDispose]() {
      closed = true;
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

  async function* explained(body: IncomingMessage, stop: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const socket = body.socket;
    try {
      for await (const chunk of body) yield chunk as Buffer;
    } catch (error) {
      stop.throwIfAborted();
      throw connectionFailure(socket.errored ?? error, endpoint); // the body only knows that it was cut off
    } finally {
      body.destroy();
    }
  }
}

/** Every status is for us to judge. */
const ANY_STATUS: Record<number, true> = Object.fromEntries(
  Array.from({ length: 500 }, (_, index) => [100 + index, true]),
);

function dial(
  modem: Docker["modem"],
  method: Method,
  path: string,
  { query = {}, body, archive, registryAuth }: ApiRequest,
  stop: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    modem.dial(
      {
        method,
        path: `${path}?`, // without the `?` the query is dropped
        options: { _query: defined(query), _body: body ?? {} },
        isStream: true,
        statusCodes: ANY_STATUS,
        ...(archive !== undefined && { file: archive }),
        ...(registryAuth !== undefined && { authconfig: { base64: secret(registryAuth) } }),
        abortSignal: stop,
      },
      (error: Error | null, answer: unknown) => (error ? reject(error) : resolve(answer as IncomingMessage)),
    );
  });
}

/** By ourselves: docker-modem ends such a request with a chunk of no bytes, which the other protocol would have to make sense of. */
function switchProtocol(
  agent: Agent,
  path: string,
  protocol: string,
  signal: AbortSignal,
): Promise<Duplex | undefined> {
  const headers = { connection: "Upgrade", upgrade: protocol };
  return new Promise((resolve, reject) => {
    askOver({ agent, host: "docker", path, method: "POST", headers, signal })
      .once("upgrade", (_, socket, head) => {
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      })
      .once("response", (answer) => {
        answer.destroy();
        resolve(undefined);
      })
      .on("error", reject)
      .end();
  });
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

function defined(query: NonNullable<ApiRequest["query"]>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(query).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, typeof value === "object" ? JSON.stringify(value) : value]],
    ),
  );
}

/** docker-modem's constructor reads DOCKER_HOST before it looks at its options, and throws when it does not like it. */
function withoutDockerHost<T>(construct: () => T): T {
  const { DOCKER_HOST } = process.env;
  delete process.env["DOCKER_HOST"];
  try {
    return construct();
  } finally {
    if (DOCKER_HOST !== undefined) process.env["DOCKER_HOST"] = DOCKER_HOST;
  }
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
