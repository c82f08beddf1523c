import { once } from "node:events";
import { createServer, request, type IncomingHttpHeaders, type Server } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { Duplex, PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { basicAuth, isAuthorized, newCredentials } from "../../../src/registry/password.ts";
import { passwordProxy, allowReads, allowWrites, type PasswordProxy } from "../../../src/registry/password-proxy.ts";

const credentials = newCredentials();
let registry: Server;
let received: { url: string; headers: IncomingHttpHeaders; body: string }[];
let unreachable: Error[];
let proxy: PasswordProxy;
let url: string;

beforeEach(async () => {
  received = [];
  unreachable = [];
  registry = createServer((req, response) => {
    let body = "";
    req.on("data", (chunk) => (body += String(chunk)));
    req.on("end", () => {
      received.push({ url: req.url ?? "", headers: req.headers, body });
      response.setHeader("location", `http://${req.headers.host}/v2/app/blobs/uploads/1`);
      response.end("from the registry");
    });
  });
  registry.listen(0, "127.0.0.1");
  await once(registry, "listening");
  const target = `http://127.0.0.1:${(registry.address() as AddressInfo).port}`;
  proxy = passwordProxy({
    target,
    credentials,
    allows: (method) => method !== "DELETE",
    onUnreachable: (error) => unreachable.push(error),
  });
  url = `http://127.0.0.1:${await proxy.listen()}`;
});

afterEach(async () => {
  await proxy[Symbol.asyncDispose]();
  registry.close();
});

describe("the password proxy", () => {
  test("forwards requests with the password, removes the password, and preserves the Host header, from which upload URLs are built", async () => {
    const headers = { authorization: basicAuth(credentials) };
    const response = await fetch(`${url}/v2/app/blobs/uploads/`, { method: "POST", body: "layer", headers });
    expect(await response.text()).toBe("from the registry");
    expect(response.headers.get("location")).toBe(`${url}/v2/app/blobs/uploads/1`);
    expect(received).toMatchObject([{ url: "/v2/app/blobs/uploads/", body: "layer" }]);
    expect(received[0]?.headers.authorization).toBeUndefined();
  });

  test.each([
    undefined,
    "",
    "Basic",
    basicAuth({ ...credentials, password: "guess" }),
    basicAuth({ ...credentials, username: "root" }),
    `Bearer ${credentials.password}`,
  ])("answers %j with 401 and an error body, and does not reach the registry", async (authorization) => {
    const response = await fetch(`${url}/v2/`, authorization === undefined ? {} : { headers: { authorization } });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toMatch(/^Basic realm=/);
    expect(await response.json()).toMatchObject({ errors: [{ code: "UNAUTHORIZED" }] });
    expect(received).toEqual([]);
  });

  test("answers on a stream without a port", async () => {
    const [up, down] = [new PassThrough(), new PassThrough()];
    proxy.accept(Duplex.from({ readable: up, writable: down }));
    const client = request({
      path: "/v2/",
      createConnection: () => Duplex.from({ readable: down, writable: up }),
    } as object);
    client.end();
    const [response] = (await once(client, "response")) as [{ statusCode: number; resume(): void }];
    response.resume();
    expect(response.statusCode).toBe(401);
  });

  test("answers 502 if the registry is no longer available, and reports it", async () => {
    registry.close();
    registry.closeAllConnections();
    const response = await fetch(`${url}/v2/`, { headers: { authorization: basicAuth(credentials) } });
    expect(response.status).toBe(502);
    expect(unreachable).toHaveLength(1);
  });
});

test("uses passwords that differ between runs and need no quoting", () => {
  const other = newCredentials();
  expect(other.password).not.toBe(credentials.password);
  expect(other.password).toMatch(/^[\w-]{32}$/);
  expect(isAuthorized(basicAuth(other), other)).toBe(true);
  expect(isAuthorized(basicAuth(other), credentials)).toBe(false);
});

describe("allowed requests", () => {
  const [reads, writes] = [allowReads("docker-over-ssh/app"), allowWrites("docker-over-ssh/app")];

  test.each<[string, string, boolean, boolean]>([
    ["GET", "/v2/", true, true],
    ["HEAD", "/v2/docker-over-ssh/app/manifests/v1", true, true],
    ["GET", "/v2/docker-over-ssh/app/blobs/sha256:00", true, true],
    ["POST", "/v2/docker-over-ssh/app/blobs/uploads/?mount=x&from=y", false, true],
    ["PUT", "/v2/docker-over-ssh/app/manifests/v1", false, true],
    ["GET", "/v2/_catalog", false, false],
    ["GET", "/v2/somebody/else/manifests/v1", false, false],
    ["GET", "/v2/docker-over-ssh/app-2/manifests/v1", false, false],
    ["GET", "/v2/docker-over-ssh/app/../../somebody/tags/list", false, false],
    ["GET", "/v2/docker-over-ssh/app/%2e%2e/x", false, false],
    ["GET", "/v2/docker-over-ssh/app//x", false, false],
    ["GET", "/debug/vars", false, false],
  ])("%s %s: the receiver %s, the engine %s", (method, path, mayRead, mayWrite) => {
    expect(reads(method, path)).toBe(mayRead);
    expect(writes(method, path)).toBe(mayWrite);
  });
});

test("is not blocked by unauthenticated clients whose bodies never arrive", async () => {
  const port = Number(new URL(url).port);
  const sockets = Array.from({ length: 300 }, () =>
    connect(port, "127.0.0.1")
      .on("error", () => {})
      .resume(),
  );
  for (const socket of sockets) socket.write("POST /v2/ HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n");
  const headers = { authorization: basicAuth(credentials) };
  expect((await fetch(`${url}/v2/`, { headers })).status).toBe(200);
  await Promise.all(sockets.map(async (socket) => socket.closed || (await once(socket, "close"))));
});
