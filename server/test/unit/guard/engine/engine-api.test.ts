import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { EngineApi, EngineAnswer } from "../../../../src/guard/engine/engine-api.ts";
import { temporaryFolder } from "../sockets/socket-bed.ts";

const signal = new AbortController().signal;
const VERSION = { Version: "28.5.2", ApiVersion: "1.51", MinAPIVersion: "1.24", Os: "linux", Arch: "amd64" };

interface Engine {
  api: EngineApi;
  requests: string[];
  /** Ends it; `start` restarts it */
  stop: () => Promise<void>;
  start: () => Promise<void>;
}

/** Starts an engine on a socket, which answers `/version`, and everything else with `listener`. */
async function engineWith(listener: RequestListener): Promise<Engine> {
  const folder = await temporaryFolder();
  const path = join(folder.path, "docker.sock");
  const requests: string[] = [];
  const serve = async () => {
    const server = createServer((request, response) => {
      requests.push(`${request.method} ${request.url}`);
      if (request.url === "/version") response.end(JSON.stringify(VERSION));
      else listener(request, response);
    });
    await once(server.listen(path), "listening");
    return server;
  };
  let server = await serve();
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    if (server.listening) await once(server.close(), "close");
  };
  const api = await EngineApi.prepare(`unix://${path}`, {});
  onTestFinished(async () => {
    await api[Symbol.asyncDispose]();
    await stop();
    await folder[Symbol.asyncDispose]();
  });
  return { api, requests, stop, start: async () => void (server = await serve()) };
}

test("escapes a query, so that no part of it becomes another", async () => {
  const { api, requests } = await engineWith((_, response) => response.end("[]"));
  await api.json({ method: "GET", path: "/images/json", query: [["filters", '{"a":["b&all=1#"]}']], signal });
  expect(requests).toEqual([
    "GET /version",
    "GET /v1.51/images/json?filters=%7B%22a%22%3A%5B%22b%26all%3D1%23%22%5D%7D",
  ]);
});

test("keeps the status and the message of an engine's error", async () => {
  const { api } = await engineWith((_, response) => response.writeHead(409).end('{"message":"it is used"}'));
  const requests = api.json({ method: "DELETE", path: "/images/x", signal });
  await expect(requests).rejects.toBeInstanceOf(EngineAnswer);
  await expect(requests).rejects.toMatchObject({ statusCode: 409, message: "it is used" });
});

test("rejects an answer that is cut off", async () => {
  const { api } = await engineWith((_, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("[", () => response.destroy());
  });
  await expect(api.json({ method: "GET", path: "/images/json", signal })).rejects.toMatchObject({
    rule: "engine.unreachable",
    statusCode: 502,
  });
});

test("reports an unavailable engine, and finds it again after a restart", async () => {
  const { api, stop, start, requests } = await engineWith((_, response) => response.end("[]"));
  const list = async (): Promise<unknown> => api.json({ method: "GET", path: "/images/json", signal });
  await list();
  await stop();
  await expect(list()).rejects.toMatchObject({ rule: "engine.unreachable" });
  await expect(api.switchTo("h2c", "/session", {}, signal)).rejects.toMatchObject({ rule: "engine.unreachable" });
  await start();
  expect(await list()).toEqual([]);
  // It may be another version.
  expect(requests.filter((line) => line === "GET /version")).toHaveLength(2);
});

test("rejects sessions and gRPC for an engine without BuildKit", async () => {
  const { api } = await engineWith((_, response) => response.writeHead(404).end("{}"));
  await expect(api.switchTo("h2c", "/session", {}, signal)).rejects.toMatchObject({ rule: "engine.no-upgrade" });
  await expect(api.grpc(signal)).rejects.toMatchObject({ rule: "engine.no-grpc" });
});

test("rejects an aborted call with its own reason", async () => {
  const { api } = await engineWith(() => {});
  const caller = new AbortController();
  const requests = api.json({ method: "GET", path: "/images/json", signal: caller.signal });
  caller.abort(new Error("the client has gone"));
  await expect(requests).rejects.toThrow("the client has gone");
});
