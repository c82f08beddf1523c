import type { Readable } from "node:stream";
import { inspect } from "node:util";
import type { HttpRequest } from "../http/requests.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** The parts of a request to the Engine API. */
export interface ApiRequest {
  /** Objects become JSON. Undefined values are omitted. */
  query?: Record<string, string | number | boolean | object | undefined>;
  /** Parameters that may be given several times. */
  repeated?: Readonly<Record<string, readonly string[]>>;
  /** Sent as JSON. */
  body?: object;
  /** Sent as a tar archive. A stream is read to its end. */
  archive?: Buffer | Readable;
  /** Sent as `X-Registry-Auth` and nowhere else. */
  registryAuth?: object;
  /** Credentials by registry. Sent as `X-Registry-Config` and nowhere else. */
  registryConfig?: object | undefined;
  /** Aborting it ends the request. The signal of the engine does the same. */
  signal?: AbortSignal | undefined;
  /**
   * How long the engine may be silent (streams/timeouts.ts). By default, the limit for an answer. `work`: the limit for long work.
   * `none`: no limit, because the answer waits for an event. {@link ApiRequest.effect} `removes` has its own limit.
   */
  timeout?: "work" | "none";
  /**
   * The request's effect in the engine, which decides when an abort ends the request. Without an effect, the request ends at once.
   * - `creates`: the answer identifies a new object, or the order of requests matters. The request may take GRACE (stop-signal.ts) longer.
   * - `completes`: the request runs to its end.
   * - `removes`: the request is used after an abort, so it ignores the signals. It may take GRACE (stop-signal.ts).
   */
  effect?: "creates" | "removes" | "completes";
}

export function httpRequest(
  method: Method,
  path: string,
  { query = {}, repeated = {}, body, archive, registryAuth, registryConfig }: ApiRequest,
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
    ...(registryConfig !== undefined && { "x-registry-config": secret(registryConfig) }),
  };
  const parameters = new URLSearchParams(defined(query));
  for (const [name, values] of Object.entries(repeated)) for (const value of values) parameters.append(name, value);
  const queryString = parameters.toString();
  return { method, path: queryString === "" ? path : `${path}?${queryString}`, headers, body: sent, signal };
}

/** Returns the value of a header with a password: an object that Node converts to text when it writes the headers. */
function secret(value: object): string {
  // The URL alphabet with padding: Go's URLEncoding rejects anything else, and the engine would ignore the password.
  const text = Buffer.from(JSON.stringify(value)).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
  return unprinted({ toString: () => text }) as unknown as string;
}

/** Hides a value from `console.log` and `util.inspect`. */
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
