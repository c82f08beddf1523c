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
  asked: string[];
  /** Ends it; `start` has it come back */
  stop: () => Promise<void>;
  start: () => Promise<void>;
}

/** An engine on a socket, which answers `/version`, and all else by `listener`. */
async function engineWith(listener: RequestListener): Promise<Engine> {
  const folder = await temporaryFolder();
  const path = join(folder.path, "docker.sock");
  const asked: string[] = [];
  const serve = async () => {
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
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
  return { api, asked, stop, start: async () => void (server = await serve()) };
}

test("a query is escaped, and nothing of it becomes another", async () => {
  const { api, asked } = await engineWith((_, response) => response.end("[]"));
  await api.json({ method: "GET", path: "/images/json", query: [["filters", '{"a":["b&all=1#"]}']], signal });
  expect(asked).toEqual(["GET /version", "GET /v1.51/images/json?filters=%7B%22a%22%3A%5B%22b%26all%3D1%23%22%5D%7D"]);
});

test("an error of the engine has its status and its words", async () => {
  const { api } = await engineWith((_, response) => response.writeHead(409).end('{"message":"it is used"}'));
  const asked = api.json({ method: "DELETE", path: "/images/x", signal });
  await expect(asked).rejects.toBeInstanceOf(EngineAnswer);
  await expect(asked).rejects.toMatchObject({ statusCode: 409, message: "it is used" });
});

test("an answer that is cut off is no answer", async () => {
  const { api } = await engineWith((_, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("[", () => response.destroy());
  });
  await expect(api.json({ method: "GET", path: "/images/json", signal })).rejects.toMatchObject({
    rule: "engine.unreachable",
    statusCode: 502,
  });
});

test("an engine that has gone is told, and found again when it is back", async () => {
  const { api, stop, start, asked } = await engineWith((_, response) => response.end("[]"));
  const list = async (): Promise<unknown> => api.json({ method: "GET", path: "/images/json", signal });
  await list();
  await stop();
  await expect(list()).rejects.toMatchObject({ rule: "engine.unreachable" });
  await expect(api.switchTo("h2c", "/session", {}, signal)).rejects.toMatchObject({ rule: "engine.unreachable" });
  await start();
  expect(await list()).toEqual([]);
  // It may be another version.
  expect(asked.filter((line) => line === "GET /version")).toHaveLength(2);
});

test("an engine without BuildKit has neither sessions nor gRPC", async () => {
  const { api } = await engineWith((_, response) => response.writeHead(404).end("{}"));
  await expect(api.switchTo("h2c", "/session", {}, signal)).rejects.toMatchObject({ rule: "engine.no-upgrade" });
  await expect(api.grpc(signal)).rejects.toMatchObject({ rule: "engine.no-grpc" });
});

test("a call that is given up ends with its own reason", async () => {
  const { api } = await engineWith(() => {});
  const caller = new AbortController();
  const asked = api.json({ method: "GET", path: "/images/json", signal: caller.signal });
  caller.abort(new Error("the client has gone"));
  await expect(asked).rejects.toThrow("the client has gone");
});
