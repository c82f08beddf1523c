import { readdir } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { listening, rawConnection, statusOf } from "../../fixtures/raw-request.ts";
import { form, testAccess, testApp, testClient, type TestApp } from "../../fixtures/test-app.ts";

const upload = { maxBody: 1024 * 1024, idle: 10_000 };
const head = (...lines: readonly string[]): string => [...lines, "Host: localhost", "", ""].join("\r\n");
const tarHead = (...more: readonly string[]): string =>
  head("POST /api/v2/builds?name=app HTTP/1.1", "Content-Type: application/x-tar", ...more);

/** For rejected requests, which leave nothing. */
let refusing: TestApp;
let port: number;
beforeAll(async () => {
  refusing = testApp();
  port = await listening(refusing.app);
});
afterAll(async () => await refusing[Symbol.asyncDispose]());

/** Waits until no file of a body is left, and checks that nothing was accepted. */
async function expectNothingLeft({ store }: TestApp): Promise<void> {
  await vi.waitFor(async () => expect(await readdir(store.folder)).toEqual([]));
  expect(store.added).toEqual([]);
}

describe("rejects requests that two servers could interpret differently", () => {
  const smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
  test.each<[string, string]>([
    [
      "Transfer-Encoding with Content-Length",
      `${tarHead("Content-Length: 4", "Transfer-Encoding: chunked")}0\r\n\r\n${smuggled}`,
    ],
    ["two lengths", `${tarHead("Content-Length: 4", "Content-Length: 5")}abcd${smuggled}`],
    ["a length with a sign", `${tarHead("Content-Length: +4")}abcd${smuggled}`],
    ["an unknown encoding", `${tarHead("Transfer-Encoding: xchunked")}0\r\n\r\n${smuggled}`],
    ["an encoding after chunked", `${tarHead("Transfer-Encoding: chunked, identity")}0\r\n\r\n${smuggled}`],
    ["a space before the colon", `${tarHead("Content-Length : 4")}abcd${smuggled}`],
    ["a folded header", `${tarHead("X: a", " Content-Length: 4")}abcd${smuggled}`],
    ["line endings without CR", tarHead("Transfer-Encoding: chunked").replaceAll("\r\n", "\n") + smuggled],
    ["an invalid length of a chunk", `${tarHead("Transfer-Encoding: chunked")}0x4\r\nabcd\r\n0\r\n\r\n${smuggled}`],
    ["no Host", "GET /api/v2/builds HTTP/1.1\r\n\r\n"],
  ])("%s", async (_what, text) => {
    using connection = await rawConnection(port);
    connection.socket.write(text);
    const answer = await connection.closed;
    expect(statusOf(answer)).toBe(400);
    // One answer, and none to the request hidden behind it
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
    connection.socket.end();
    await expectNothingLeft(refusing);
  });

  test("rejects large headers", async () => {
    using connection = await rawConnection(port);
    connection.socket.write(head("GET /healthz HTTP/1.1", `X: ${"x".repeat(17 * 1024)}`));
    const answer = await connection.closed;
    expect(statusOf(answer)).toBe(431);
    expect(answer).toContain("application/problem+json");
  });
});

describe("a body that does not arrive", () => {
  test.each<[string, string]>([
    ["an archive", `${tarHead("Content-Length: 100")}half`],
    ["an archive in chunks", `${tarHead("Transfer-Encoding: chunked")}4\r\nhalf\r\n`],
    [
      "a form",
      (() => {
        const { payload, headers } = form(
          { name: "build", content: '{"name":"app"}' },
          { name: "archive", content: "x".repeat(100) },
        );
        const lines = [`Content-Type: ${headers["content-type"]}`, `Content-Length: ${payload.length}`];
        return head("POST /api/v2/builds HTTP/1.1", ...lines) + payload.slice(0, -50);
      })(),
    ],
  ])("%s: leaves nothing if it stops half-way", async (_what, text) => {
    using connection = await rawConnection(port);
    connection.socket.write(text);
    await vi.waitFor(async () => expect(await readdir(refusing.store.folder)).toHaveLength(1));
    connection.socket.destroy();
    await expectNothingLeft(refusing);
  });

  test.each<[string, string, string]>([
    ["an archive", `${tarHead("Content-Length: 100000")}half`, "Almost nothing"],
    [
      "JSON",
      `${head("POST /api/v2/builds HTTP/1.1", "Content-Type: application/json", "Content-Length: 100")}{`,
      "not complete",
    ],
  ])("%s: is answered with 408 if it is silent", async (_what, text, words) => {
    await using server = testApp({ settings: { upload: { ...upload, idle: 50 }, maxQueued: 10 } });
    using connection = await rawConnection(await listening(server.app));
    connection.socket.write(text);
    const answer = await connection.received(words);
    expect(statusOf(answer)).toBe(408);
    await connection.closed;
    await expectNothingLeft(server);
  });

  test("counts single bytes now and then as silence", async () => {
    await using server = testApp({ settings: { upload: { ...upload, idle: 100 }, maxQueued: 10 } });
    using connection = await rawConnection(await listening(server.app));
    connection.socket.write(tarHead("Content-Length: 100000"));
    const drip = setInterval(() => void connection.socket.write("x"), 20);
    try {
      expect(statusOf(await connection.received("Almost nothing"))).toBe(408);
    } finally {
      clearInterval(drip);
    }
    await expectNothingLeft(server);
  });
});

describe("a request that is rejected before its body", () => {
  const wait = "Expect: 100-continue";

  test.each<[string, string, number]>([
    ["no token", tarHead("Content-Length: 5", wait), 401],
    ["an unknown field", tarHead("Content-Length: 5", wait, "Authorization: t1").replace("name", "nam"), 400],
    ["a length beyond the limit", tarHead(`Content-Length: ${upload.maxBody + 1}`, wait, "Authorization: t1"), 413],
  ])("%s: the client does not get 100 Continue", async (_what, text, status) => {
    await using server = testApp({ access: testAccess([testClient("t1")]) });
    using connection = await rawConnection(await listening(server.app));
    connection.socket.write(text);
    const answer = await connection.received('"detail"');
    expect(statusOf(answer)).toBe(status);
    expect(answer).not.toContain("100 Continue");
    await expectNothingLeft(server);
  });

  test.each<[string, string, string]>([
    ["an archive", tarHead("Content-Length: 5", wait), "a tar"],
    [
      "JSON",
      head("POST /api/v2/builds HTTP/1.1", "Content-Type: application/json", "Content-Length: 40", wait),
      '{"name":"app","dockerfile":"FROM a"}    ',
    ],
    [
      "JSON for tutum-builder",
      head("POST /api/v1/build HTTP/1.1", "Content-Type: text/x", "Content-Length: 46", wait),
      '{"image_name":"app","dockerfile":"FROM a"}    ',
    ],
  ])("%s: gets 100 Continue if it is accepted", async (_what, text, body) => {
    await using server = testApp();
    using connection = await rawConnection(await listening(server.app));
    connection.socket.write(text);
    await connection.received("HTTP/1.1 100 Continue\r\n\r\n");
    connection.socket.write(body);
    expect(await connection.received("}")).toMatch(/HTTP\/1\.1 20[02] /);
  });

  test("does not lose the response if its body is large", async () => {
    await using server = testApp({ settings: { upload: { ...upload, maxBody: 1000 }, maxQueued: 10 } });
    using connection = await rawConnection(await listening(server.app));
    connection.socket.write(tarHead("Transfer-Encoding: chunked"));
    const piece = "x".repeat(0x10000);
    // More than the buffers of the connection hold: a server that stopped reading would block the client.
    for (let count = 0; count < 200; count++) {
      if (connection.socket.write(`10000\r\n${piece}\r\n`)) continue;
      await new Promise<void>((resolve) => {
        connection.socket.once("drain", resolve).once("close", resolve);
      });
    }
    expect(statusOf(await connection.received('"detail"'))).toBe(413);
    await expectNothingLeft(server);
  });
});

test("accepts any Host and Origin of a request with a token", async () => {
  await using server = testApp({ access: testAccess([testClient("t1")]) });
  const headers = { host: "builds.example.com", origin: "https://other.example.com", authorization: "t1" };
  expect((await server.app.inject({ url: "/api/v2/builds", headers })).statusCode).toBe(200);
});

test("allows no page of another site to read a response, and no browser to guess its type", async () => {
  for (const url of ["/api/v2/builds", "/other", "/api/v1/other", "/api/v2/builds?x=1"]) {
    const { headers } = await refusing.app.inject({
      url,
      headers: { origin: "http://localhost:80", host: "localhost:80" },
    });
    expect(headers["access-control-allow-origin"]).toBeUndefined();
    expect(headers["x-content-type-options"]).toBe("nosniff");
    expect(headers["content-security-policy"]).toContain("default-src 'none'");
  }
});
