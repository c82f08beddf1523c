import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { parseHost, type EngineEndpoint } from "../../../src/engine/connect/endpoint.ts";

interface SeenRequest {
  method: string;
  /** The path without the API version. */
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage["headers"];
  body: string;
}

export type Route = (request: SeenRequest, response: ServerResponse) => unknown;

/** An HTTP server on its own socket that answers like an engine. It answers `/_ping` itself, and everything else with `routes`. */
export interface FakeEngine extends AsyncDisposable {
  endpoint: EngineEndpoint;
  socketPath: string;
  seen: SeenRequest[];
  /** `METHOD path` of the requests, except for the ping. */
  calls(): string[];
}

export async function fakeEngine(routes: Record<string, Route> = {}, apiVersion = "1.51"): Promise<FakeEngine> {
  const folder = await temporaryFolder();
  const socketPath = join(folder.path, "engine.sock");
  const seen: SeenRequest[] = [];
  const server = createServer((incoming, response) => {
    const url = new URL(incoming.url ?? "/", "http://engine");
    void text(incoming).then((body) => {
      const request = {
        method: incoming.method ?? "",
        path: url.pathname.replace(/^\/v[\d.]+/, ""),
        query: url.searchParams,
        headers: incoming.headers,
        body,
      };
      response.setHeader("Api-Version", apiVersion);
      if (request.path === "/_ping") return response.end("OK");
      seen.push(request);
      const route = routes[`${request.method} ${request.path}`];
      return route
        ? route(request, response)
        : answer(response, 404, { message: `no route for ${request.method} ${request.path}` });
    });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    endpoint: parseHost(`unix://${socketPath}`, "test"),
    socketPath,
    seen,
    calls: () => seen.map(({ method, path }) => `${method} ${path}`),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await folder[Symbol.asyncDispose]();
    },
  };
}

export function answer(response: ServerResponse, status: number, body?: object | string): void {
  response.statusCode = status;
  response.end(typeof body === "string" ? body : body === undefined ? "" : JSON.stringify(body));
}

export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "engine-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Returns a TCP port of 127.0.0.1 on which no program listens. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Returns the error that a promise rejects with. */
export async function rejection(
  promise: Promise<unknown>,
): Promise<Error & { code?: string; hint?: string; expected?: string; status?: number }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it did not reject");
}

/** A promise, and the function that resolves it. */
export function latch(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
