import { homedir } from "node:os";
import { text } from "node:stream/consumers";
import { PassThrough, type Duplex, type Readable } from "node:stream";
import {
  chooseEndpoint,
  connectHttp2,
  describeEndpoint,
  grpcOver,
  mayReachUs,
  messageOf,
  namedEndpoint,
  openConnections,
  overHttp1,
  switchProtocol,
  type EngineConnections,
  type EngineEndpoint,
  type GrpcConnection,
  type HttpAnswer,
} from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";

/** A request to the engine. The guard creates each part of it: no text of a tenant is passed on unchanged. */
export interface EngineRequest {
  method: "GET" | "POST" | "DELETE" | "HEAD";
  /** Without the version, e.g. `/images/json`. Names in it are checked references or IDs. */
  path: string;
  query?: readonly (readonly [key: string, value: string])[];
  headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON */
  body?: Readable | Buffer | object | undefined;
  /** e.g. `1.51`; `none`: a path without a version; undefined: the engine's own */
  apiVersion?: string | undefined;
  signal: AbortSignal;
}

/** The fields of `GET /version` that the guard reads. */
export interface EngineVersion {
  version: string;
  apiVersion: string;
  minApiVersion: string;
  os: string;
  arch: string;
}

/** An error response of the engine, with the engine's message and names. */
export class EngineAnswer extends Error {
  override readonly name = "EngineAnswer";
  readonly statusCode: number;

  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

/** Maximum bytes of an error of the engine that are read */
const MAX_ERROR = 64 * 1024;
/** Assumed if the engine does not report it: the oldest version of Docker 20.10 */
const OLDEST_API = "1.12";

/**
 * The host's engine. Each request opens a new connection, so a restarted engine is found. Disposing closes all
 * connections.
 */
export class EngineApi implements AsyncDisposable {
  /** For messages, e.g. `unix:///var/run/docker.sock (context default)` */
  readonly address: string;
  /** Whether the engine can connect to a port on this side's 127.0.0.1 */
  readonly reachesUs: boolean;
  readonly #endpoint: EngineEndpoint;
  readonly #connections: EngineConnections;
  #version: Promise<EngineVersion> | undefined;

  private constructor(endpoint: EngineEndpoint, connections: EngineConnections) {
    this.#endpoint = endpoint;
    this.#connections = connections;
    this.address = describeEndpoint(endpoint);
    this.reachesUs = mayReachUs(endpoint.address);
  }

  /**
   * Prepares the API without connecting.
   *
   * @param host in the format of -H; undefined: the engine that the docker command would use
   * @throws Failure as `chooseEndpoint`
   */
  static async prepare(host: string | undefined, env: NodeJS.ProcessEnv): Promise<EngineApi> {
    const endpoint = await chooseEndpoint({ named: namedEndpoint(host, env), env, homedir: homedir() });
    return new EngineApi(endpoint, await openConnections(endpoint.address));
  }

  /**
   * Queries the version once, and again after a failed request: the engine may have been restarted with another
   * version.
   */
  async version(signal: AbortSignal): Promise<EngineVersion> {
    const isFirst = this.#version === undefined;
    const pending = (this.#version ??= this.#queryVersion(signal));
    try {
      return await pending;
    } catch (error) {
      if (this.#version === pending) this.#version = undefined;
      signal.throwIfAborted();
      if (isFirst) throw error;
      return this.version(signal); // the caller that sent the query may have been aborted
    }
  }

  /**
   * Sends a request. Resolves with any answer, whose body the caller reads to its end or destroys. Rejects with a
   * Refusal 502 if the engine cannot be reached.
   */
  async send(request: EngineRequest): Promise<HttpAnswer> {
    const { method, path, query = [], headers = {}, body, apiVersion, signal } = request;
    const search =
      query.length === 0
        ? ""
        : `?${new URLSearchParams(query.map(([key, value]): [string, string] => [key, value])).toString()}`;
    const isJson = body !== undefined && !Buffer.isBuffer(body) && !("pipe" in body);
    try {
      const answer = await overHttp1(this.#connections.agent)({
        method,
        path: `${this.#prefix}${await this.#versionPath(apiVersion, signal)}${path}${search}`,
        headers: { ...headers, ...(isJson && { "content-type": "application/json" }) },
        body: isJson ? Buffer.from(JSON.stringify(body)) : body,
        signal,
      });
      return { ...answer, body: this.#bodyOf(answer.body, signal) };
    } catch (error) {
      throw this.#lost(error, signal);
    }
  }

  /** Like {@link send}, but rejects with an {@link EngineAnswer} for an error status. */
  async request(request: EngineRequest): Promise<HttpAnswer> {
    const answer = await this.send(request);
    if (answer.status < 400) return answer;
    throw new EngineAnswer(answer.status, await errorOf(answer));
  }

  /** Like {@link request}, but parses a JSON answer; undefined for an empty one. */
  async json(request: EngineRequest): Promise<unknown> {
    const { body } = await this.request(request);
    try {
      const found = await text(body);
      return found === "" ? undefined : (JSON.parse(found) as unknown);
    } catch (error) {
      throw this.#lost(error, request.signal);
    }
  }

  /** Switches a connection to another protocol: `/session` to `h2c`. The caller owns it. */
  async switchTo(
    protocol: string,
    path: string,
    headers: Readonly<Record<string, string | string[]>>,
    signal: AbortSignal,
  ): Promise<Duplex> {
    try {
      const { apiVersion } = await this.version(signal);
      const at = `${this.#prefix}/v${apiVersion}${path}`;
      const stream = await switchProtocol(this.#connections.agent, at, protocol, signal, headers);
      if (stream !== undefined) return stream;
    } catch (error) {
      throw this.#lost(error, signal);
    }
    throw new Refusal("engine.no-upgrade", `the engine does not switch ${path} to ${protocol}`, { statusCode: 502 });
  }

  /** Opens a connection for gRPC. Disposing closes it. */
  async grpc(signal: AbortSignal): Promise<GrpcConnection> {
    const { apiVersion } = await this.version(signal);
    const opened = await connectHttp2({
      address: this.#endpoint.address,
      connections: this.#connections,
      offered: apiVersion,
      prefix: `${this.#prefix}/v${apiVersion}`,
      signal,
    });
    if (opened !== undefined) return grpcOver(opened.connection, { isShared: false });
    throw new Refusal("engine.no-grpc", "the engine has no BuildKit", { statusCode: 502 });
  }

  /**
   * Opens a separate connection for a dry run: data reaches the engine unchanged. The caller owns it, and handles its
   * errors.
   */
  connect(): Duplex {
    return this.#connections.another();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections[Symbol.asyncDispose]();
  }

  get #prefix(): string {
    const { address } = this.#endpoint;
    return address.protocol === "tcp" ? address.pathPrefix : "";
  }

  async #versionPath(given: string | undefined, signal: AbortSignal): Promise<string> {
    if (given === "none") return "";
    return `/v${given ?? (await this.version(signal)).apiVersion}`;
  }

  async #queryVersion(signal: AbortSignal): Promise<EngineVersion> {
    const found = (await this.json({ method: "GET", path: "/version", apiVersion: "none", signal })) as Record<
      string,
      string
    >;
    return {
      version: found["Version"] ?? "",
      apiVersion: found["ApiVersion"] ?? OLDEST_API,
      minApiVersion: found["MinAPIVersion"] ?? OLDEST_API,
      os: found["Os"] ?? "linux",
      arch: found["Arch"] ?? "amd64",
    };
  }

  /** Returns a body that fails with a Refusal 502 if the engine cuts it off. */
  #bodyOf(body: Readable, signal: AbortSignal): Readable {
    const output = new PassThrough().on("error", () => {}); // the reader gets the error
    body.once("error", (error) => output.destroy(this.#lost(error, signal) as Error));
    output.once("close", () => body.destroy());
    return body.pipe(output);
  }

  /** Returns the error for a request that did not reach the engine, or for an answer that was cut off. */
  #lost(error: unknown, signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason;
    if (error instanceof Refusal || error instanceof EngineAnswer) return error;
    this.#version = undefined;
    return new Refusal("engine.unreachable", `the engine cannot be reached: ${messageOf(error)}`, {
      statusCode: 502,
      cause: error,
    });
  }
}

async function errorOf({ status, body }: HttpAnswer): Promise<string> {
  let found = "";
  for await (const chunk of body) {
    found += String(chunk);
    if (found.length > MAX_ERROR) break;
  }
  try {
    const { message } = JSON.parse(found) as { message?: unknown };
    if (typeof message === "string") return message;
  } catch {
    // not JSON: an old engine, or a proxy
  }
  return found.trim() || `the engine answered ${status}`;
}
