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
  /** Below the address of the server, without a `/` at its start */
  path: string;
  headers?: OutgoingHttpHeaders;
  /** A stream is read when the server wants it, as fast as it takes it, and not to its end when it has answered. The client ends it. */
  body?: AsyncIterable<Buffer> | string;
  signal: AbortSignal;
  /** The whole body was sent. */
  onSent?: () => void;
}

/** An answer whose body is read by its receiver, or destroyed. */
export interface ServiceAnswer {
  status: number;
  headers: IncomingMessage["headers"];
  body: IncomingMessage;
}

/** ms after which a body is sent that the server has not asked for: it need not know how to (RFC 9110, 10.1.1). */
const CONTINUE_AFTER = 1_000;

/** Bytes of an answer that is read whole. */
const MAX_ANSWER = 4_000_000;

/** Makes requests of a build service. A redirect is not followed: it would lead the token elsewhere. */
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

  /** Returns the answer when its headers are there. Rejects with {@link NotReached}, with the signal's reason, or with what the body throws. */
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
          answer.on("error", () => {}); // its reader gets it as well
          // It waits for no body that is not sent any more.
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

  /** Makes a request and returns status, headers and the body, which is JSON; undefined where it is none. */
  async json(request: ServiceRequest): Promise<{ status: number; headers: ServiceAnswer["headers"]; value: unknown }> {
    const { status, headers, body } = await this.request(request);
    return { status, headers, value: await readJson({ headers, body }, request.signal) };
  }
}

/**
 * Passes each chunk on after the socket was looked at. A server that refuses a body closes the connection with bytes of it unread, which resets it: a
 * write would then fail, and the answer, which is here, would be lost.
 */
async function* lookingForAnswers(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    await afterPoll();
    yield chunk;
  }
}

/** Reads the body of an answer; undefined for what is no JSON. */
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
      ? "NODE_EXTRA_CA_CERTS names a file with the certificates of authorities that this machine does not know."
      : "Check --server or BUILD_HOST and BUILD_PORT, whether http or https, and whether the service runs: curl ADDRESS/healthz.",
    cause: error,
  });
}
