import { request as requestHttp, type IncomingMessage, type OutgoingHttpHeaders, type RequestOptions } from "node:http";
import { request as requestHttps } from "node:https";
import { Readable } from "node:stream";
import { setImmediate as afterPoll } from "node:timers/promises";
import { Failure, messageOf } from "../output/errors.ts";
import type { ServerAddress } from "./server-address.ts";

/** The server cannot be reached, or the connection was lost. Trying again may help. */
export class NotReached extends Error {
  override readonly name = "NotReached";
}

export interface ServiceRequest {
  method: "GET" | "POST";
  /** Relative to the address of the server, without a leading `/` */
  path: string;
  headers?: OutgoingHttpHeaders;
  /**
   * A stream is read when the server requests it, as fast as the server accepts it, and only until the server has answered. The client
   * destroys it.
   */
  body?: AsyncIterable<Buffer> | string;
  signal: AbortSignal;
  /** The whole body was sent. */
  onSent?: () => void;
}

/** An answer. The caller must read its body or destroy it. */
export interface ServiceAnswer {
  status: number;
  headers: IncomingMessage["headers"];
  body: IncomingMessage;
}

/** ms after which the body is sent although the server has not requested it: a server need not support such requests (RFC 9110, 10.1.1). */
const CONTINUE_AFTER = 1_000;

/** Maximum bytes of an answer that is read whole. */
const MAX_ANSWER = 4_000_000;

/** Sends requests to a build service. Follows no redirect, which would send the token to another server. */
export class ServiceClient {
  readonly address: ServerAddress;
  readonly #token: string | undefined;
  readonly #timeout: number;

  /** @param timeout ms without a byte in either direction */
  constructor(address: ServerAddress, token: string | undefined, timeout: number) {
    this.address = address;
    this.#token = token;
    this.#timeout = timeout;
  }

  /**
   * Resolves when the headers of the answer have arrived. Rejects with {@link NotReached}, with the signal's reason, or with an error of
   * the body.
   */
  async request({ method, path, headers, body, signal, onSent }: ServiceRequest): Promise<ServiceAnswer> {
    signal.throwIfAborted();
    const { base, socketPath } = this.address;
    const options: RequestOptions = {
      method,
      ...(socketPath !== undefined && { socketPath }),
      headers: {
        accept: "application/json, application/problem+json",
        ...(typeof body === "object" && { expect: "100-continue" }),
        ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
        ...headers,
      },
      agent: false,
      signal,
    };
    const request = (base.protocol === "https:" ? requestHttps : requestHttp)(new URL(path, base), options);
    let unasked: NodeJS.Timeout | undefined;
    const source = typeof body === "string" || body === undefined ? undefined : Readable.from(lookingForAnswers(body));
    try {
      return await new Promise((resolve, reject) => {
        request.once("response", (answer) => {
          answer.on("error", () => {}); // its reader also gets the error
          // Do not wait for the rest of a body that is no longer sent.
          answer.once("end", () => request.writableFinished || request.destroy());
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer });
        });
        request.on("error", (error) => reject(signal.aborted ? (signal.reason as Error) : notReached(error)));
        request.setTimeout(this.#timeout, () =>
          request.destroy(new NotReached(`silence for ${this.#timeout / 1000} s`)),
        );
        request.once("finish", () => onSent?.());
        if (source === undefined) return void request.end(body);
        source.on("error", (error) => {
          reject(signal.aborted ? (signal.reason as Error) : error);
          request.destroy();
        });
        const send = (): void => {
          clearTimeout(unasked);
          if (!source.destroyed && source.listenerCount("data") === 0) source.pipe(request);
        };
        unasked = setTimeout(send, CONTINUE_AFTER);
        request.once("continue", send).flushHeaders();
      });
    } finally {
      clearTimeout(unasked);
      source?.unpipe(request).destroy();
    }
  }

  /** Sends a request and returns status, headers and the parsed body; undefined for a body that is not JSON. */
  async json(request: ServiceRequest): Promise<{ status: number; headers: ServiceAnswer["headers"]; value: unknown }> {
    const { status, headers, body } = await this.request(request);
    return { status, headers, value: await readJson({ headers, body }, request.signal) };
  }
}

/**
 * Passes each chunk on after Node has read from the socket. A server that refuses a body closes the connection with bytes of it unread,
 * which resets the connection: a write would fail, and the answer, which has already arrived, would be lost.
 */
async function* lookingForAnswers(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    await afterPoll();
    yield chunk;
  }
}

/** Reads the body of an answer; returns undefined if it is not JSON. */
export async function readJson(
  { headers, body }: Pick<ServiceAnswer, "headers" | "body">,
  signal: AbortSignal,
): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_ANSWER) throw new Error(`the answer has more than ${MAX_ANSWER} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw notReached(error as Error);
  }
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(headers["content-type"] ?? "")) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}

function notReached(error: Error): NotReached {
  return error instanceof NotReached ? error : new NotReached(messageOf(error), { cause: error });
}

/** Returns the Failure for a server that cannot be reached. */
export function serverUnreachable({ address }: ServiceClient, error: Error): Failure {
  return new Failure("server-unreachable", `cannot reach the build service ${address.shown}: ${messageOf(error)}`, {
    expected: "docker-over-ssh serve at that address",
    hint: /certificate/i.test(error.message)
      ? "Name a file with the certificates of your certificate authorities in NODE_EXTRA_CA_CERTS."
      : "Check --server or BUILD_HOST and BUILD_PORT, the scheme (http or https), and that the service runs: curl ADDRESS/healthz.",
    cause: error,
  });
}
