import type { Duplex, Readable } from "node:stream";
import type { ApiObject, Backend } from "../backend.ts";
import type { Caller } from "../caller.ts";
import type { QueryShape } from "../request/query.ts";
import type { Method, StrictRequest } from "../request/strict-request.ts";
import type { Rule } from "../refusal.ts";
import type { Static, TSchema } from "typebox";

/** A row of the table of allowed calls. */
export interface Call {
  /** The name of the call in audit lines, e.g. `image.list` */
  readonly rule: Rule;
  readonly method: Method;
  /** Without the version. `{name}` stands for one or more segments, `{id}` for one: `/images/{name}/json` */
  readonly path: string;
  /** One sentence for docs/guard.md that describes what the tenant gets */
  readonly does: string;
  readonly query: QueryShape;
  readonly body: BodyKind;
  /**
   * Parses the request, without any effect yet. `explain` and the dry run call it as well.
   *
   * @param json the body of a call with the body kind `json`, checked against its schema
   * @throws Refusal
   */
  read(request: StrictRequest, json: unknown): ReadCall;
}

export type BodyKind =
  /** No body; an empty one, `{}` and `null` count as none */
  | { kind: "none" }
  /** JSON of at most 1 MB */
  | { kind: "json"; schema: TSchema }
  /** A stream of at most the quota `context`, which the call reads to its end, or ignores */
  | { kind: "stream" }
  /** No body; the connection is switched to HTTP/2 */
  | { kind: "upgrade" };

/** A parsed request that is allowed. */
export interface ReadCall {
  /** For the audit line: the images of the call, by the tenant's names */
  readonly about?: readonly string[];
  /**
   * Performs the call. Resolves when the answer is complete. Rejects with a Refusal, which becomes the answer, or the
   * last line of an answer that has begun.
   */
  perform(context: CallContext): Promise<void>;
}

export interface CallContext {
  readonly caller: Caller;
  readonly backend: Backend;
  /**
   * The body of a call with the kind `stream`. It fails with a Refusal 413 `body.size` if it is too large. The front
   * owns it.
   */
  readonly body: Readable | undefined;
  readonly reply: Reply;
  /**
   * Answers requests and gRPC calls on a connection that was switched to HTTP/2, like those on the socket itself. Owns
   * the connection, and resolves when it is closed.
   */
  readonly serveHttp2: (connection: Duplex) => Promise<void>;
}

/**
 * Sends the answer to a request: a call uses one of these methods. The front adds the headers that all answers of an
 * engine have.
 */
export interface Reply {
  json(status: number, value: unknown): void;
  /** Sends an answer without a body */
  empty(status: number, headers?: Readonly<Record<string, string>>): void;
  text(status: number, text: string, headers?: Readonly<Record<string, string>>): void;
  /** Writes a line of JSON. The first line begins the answer, and the front ends it after `perform`. */
  line(line: ApiObject): void;
  /** Begins an answer before its first line, e.g. for later events. */
  beginLines(): void;
  /** Sends a stream to its end, and destroys it if the client disconnects. */
  stream(type: string, body: Readable): Promise<void>;
  /** Answers 101 on the connection of a call with the body `upgrade`. The caller owns the connection after that. */
  upgrade(protocol: string): Duplex;
}

/** Creates a call with a JSON body, whose type is inferred from its schema. */
export function jsonCall<Schema extends TSchema>(
  call: Omit<Call, "body" | "read"> & {
    schema: Schema;
    read: (request: StrictRequest, json: Static<Schema>) => ReadCall;
  },
): Call {
  const { schema, read, ...rest } = call;
  // The front has validated the body against the schema.
  return { ...rest, body: { kind: "json", schema }, read: (request, json) => read(request, json as Static<Schema>) };
}

export const NO_BODY = { kind: "none" } as const;
