import { rmdir } from "node:fs/promises";
import { once } from "node:events";
import { request, type IncomingHttpHeaders, type OutgoingHttpHeaders, type RequestOptions } from "node:http";
import { Readable, type Duplex, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { newRunId } from "../../../../src/run/run-id.ts";
import { basicAuth } from "../../../../src/registry/password.ts";
import { openEmbeddedRegistry, type EmbeddedRegistry } from "../../../../src/registry/embedded/server.ts";

/** Resolves when a stream is closed, however that came about. */
export async function closed(stream: Duplex | Writable | Readable): Promise<void> {
  await new Promise<void>((resolve) => stream.on("error", () => {}).once("close", resolve));
}

export interface Answer {
  status: number | undefined;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface Question {
  headers?: OutgoingHttpHeaders;
  body?: Uint8Array | string | Readable;
}

export type Client = (method: string, path: string, question?: Question) => Promise<Answer>;

/** Ends a registry and removes the folder that it was opened in. Throws when it has left something there. */
export async function endRegistry(registry: EmbeddedRegistry, parent: string): Promise<void> {
  await registry[Symbol.asyncDispose]();
  await rmdir(parent);
}

/** Opens a registry with its spool in `parent`. */
export async function openRegistry(parent: string, options = {}): Promise<EmbeddedRegistry> {
  return openEmbeddedRegistry({ runId: newRunId(), parent, ...options });
}

/** Asks as a client that knows the password; the path goes on the wire as it is written here. */
export async function clientOf(registry: EmbeddedRegistry): Promise<Client> {
  const port = await registry.listen();
  const authorization = basicAuth(registry.credentials);
  return (method, path, { headers, body } = {}) =>
    ask({ port, host: "127.0.0.1", method, path, headers: { authorization, ...headers } }, body);
}

/** One exchange. Rejects when the connection breaks before the answer is complete. */
export async function ask(options: RequestOptions, body?: Question["body"]): Promise<Answer> {
  const client = request({ agent: false, ...options });
  client.on("error", () => {}); // the response breaks too, and it is there that this is noticed
  const answered = once(client, "response") as Promise<
    [Readable & { statusCode?: number; headers: IncomingHttpHeaders }]
  >;
  if (body instanceof Readable) {
    client.flushHeaders();
    pipeline(body, client).catch(() => {}); // an answer may come before the end of it
  } else client.end(body);
  const [response] = await answered;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
}

/** The code of an answer's error body, which has the spec's form. */
export function codeOf({ headers, body }: Answer): unknown {
  if (headers["content-type"] !== "application/json" || body.length === 0) return undefined;
  const { errors } = JSON.parse(body.toString()) as { errors?: { code: string; message: string }[] };
  return errors?.every(({ message }) => typeof message === "string") ? errors[0]?.code : undefined;
}
