import { rmdir } from "node:fs/promises";
import { once } from "node:events";
import {
  request,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type RequestOptions as HttpRequestOptions,
} from "node:http";
import { Readable, type Duplex, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { newRunId } from "../../../../src/run/run-id.ts";
import { basicAuth } from "../../../../src/registry/password.ts";
import { openEmbeddedRegistry, type EmbeddedRegistry } from "../../../../src/registry/embedded/server.ts";

/** Resolves when a stream is closed, with or without an error. */
export async function closed(stream: Duplex | Writable | Readable): Promise<void> {
  await new Promise<void>((resolve) => stream.on("error", () => {}).once("close", resolve));
}

export interface Response {
  status: number | undefined;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface RequestOptions {
  headers?: OutgoingHttpHeaders;
  body?: Uint8Array | string | Readable;
}

export type Client = (method: string, path: string, options?: RequestOptions) => Promise<Response>;

/** Closes a registry, and removes its parent folder. Throws if the registry has left a file in it. */
export async function endRegistry(registry: EmbeddedRegistry, parent: string): Promise<void> {
  await registry[Symbol.asyncDispose]();
  await rmdir(parent);
}

/** Opens a registry with its spool in `parent`. */
export async function openRegistry(parent: string, options = {}): Promise<EmbeddedRegistry> {
  return openEmbeddedRegistry({ runId: newRunId(), parent, ...options });
}

/** Returns a client that knows the password, and sends paths verbatim. */
export async function clientOf(registry: EmbeddedRegistry): Promise<Client> {
  const port = await registry.listen();
  const authorization = basicAuth(registry.credentials);
  return (method, path, { headers, body } = {}) =>
    sendRequest({ port, host: "127.0.0.1", method, path, headers: { authorization, ...headers } }, body);
}

/** Sends a request. Rejects if the connection breaks before the response is complete. */
export async function sendRequest(options: HttpRequestOptions, body?: RequestOptions["body"]): Promise<Response> {
  const client = request({ agent: false, ...options });
  client.on("error", () => {}); // the response also fails
  const responded = once(client, "response") as Promise<
    [Readable & { statusCode?: number; headers: IncomingHttpHeaders }]
  >;
  if (body instanceof Readable) {
    client.flushHeaders();
    pipeline(body, client).catch(() => {}); // the response may arrive before the body's end
  } else client.end(body);
  const [response] = await responded;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
}

/** Returns the code in the error body of a response, in the format of the distribution spec. */
export function codeOf({ headers, body }: Response): unknown {
  if (headers["content-type"] !== "application/json" || body.length === 0) return undefined;
  const { errors } = JSON.parse(body.toString()) as { errors?: { code: string; message: string }[] };
  return errors?.every(({ message }) => typeof message === "string") ? errors[0]?.code : undefined;
}
