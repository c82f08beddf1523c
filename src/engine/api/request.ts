import type { Readable } from "node:stream";
import { inspect } from "node:util";
import type { HttpRequest } from "../http/requests.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** What is asked of the Engine API. */
export interface ApiRequest {
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
   * How long the engine may be silent (streams/timeouts.ts). By default, as long as for an answer. `work`: it is at something that
   * takes its time. `none`: it says something when something happens, see also {@link ApiRequest.effect}.
   */
  patience?: "work" | "none";
  /**
   * What a request leaves behind says when it is ended. By default, nothing: at once.
   * - `makes`: its answer names what has come to be, or the order of what follows counts. It may take its grace (docker-api.ts) more.
   * - `completes`: nothing ends it once it has begun.
   * - `removes`: no signal ends it, because that is when it is wanted; it may take its grace (docker-api.ts) in all.
   */
  effect?: "makes" | "removes" | "completes";
}

export function httpRequest(
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
