import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { folder, runPublish } from "./run-publish.ts";
import { sendJson, StandIn } from "./stand-in.ts";

const context = join(folder, "context");
mkdirSync(context);
writeFileSync(join(context, "Dockerfile"), "FROM scratch\n");

let server: StandIn;
beforeEach(async () => {
  server = await StandIn.start();
  return async () => await server[Symbol.asyncDispose]();
});

const run = async (options: Parameters<typeof runPublish>[0] = {}) =>
  await runPublish({ server: server.url, context, ...options });

/** Answers the first upload, or the first request of another kind, with this. */
const answer = (status: number, value: object, headers: Record<string, string> = {}, method = "POST"): void =>
  void server.hooks.push((request, response) => {
    if (request.method !== method) return false;
    sendJson(response, status, value, headers);
    return true;
  });

test.each([
  [401, "refused", "does not know the token: no"],
  [403, "refused", "does not allow the request: no"],
  [404, "refused", "has no such build: no"],
  [400, "refused", "does not accept the build: no"],
  [431, "transfer-failed", "answers 431: no"],
])("status %d is a Failure %s", async (status, code, message) => {
  answer(status, { title: "t", detail: "no" }, {}, "GET");
  const { error } = await run();
  expect(error).toMatchObject({ code, message: `${server.url} ${message}` });
  expect(server.builds).toEqual([]);
});

test("sends no upload to a server that rejects the request before it", async () => {
  let received = 0;
  server.beforeBody = (request, response) => {
    request.on("data", (chunk: Buffer) => (received += chunk.length));
    sendJson(response, 403, { detail: "no" });
    return true;
  };
  expect((await run()).error).toMatchObject({
    code: "refused",
    message: `${server.url} does not allow the request: no`,
  });
  expect(received).toBe(0);
});

test("sends the upload to a server that does not request it", async () => {
  server.beforeBody = (request, response) => server.handle(request, response);
  expect((await run()).error).toBeUndefined();
  expect(server.builds).toHaveLength(1);
});

test("stops an upload that is too large before its end", async () => {
  const large = join(folder, "large");
  mkdirSync(large);
  writeFileSync(join(large, "Dockerfile"), "FROM scratch\n");
  writeFileSync(join(large, "large"), pseudoRandom(60_000_000));
  let received = 0;
  server.hooks.push((request, response) => {
    if (request.method !== "POST") return false;
    request.once("data", () => {
      request.pause();
      request.socket.on("close", () => (received = request.socket.bytesRead));
      sendJson(response, 413, { title: "Content Too Large", detail: "at most 1 MB" }, { connection: "close" });
    });
    return true;
  });
  const { error } = await run({ context: large });
  expect(error).toMatchObject({ code: "refused", message: expect.stringContaining("at most 1 MB") as string });
  expect(received).toBeLessThan(30_000_000);
});

test("names invalid fields", async () => {
  answer(422, {
    detail: "The build is not valid.",
    errors: [{ field: "platform", message: "must be OS/ARCH" }, { field: "labels.x", message: "too long" }, 7, {}],
  });
  const { error } = await run();
  expect(error).toMatchObject({
    code: "refused",
    expected: "other values of platform (must be OS/ARCH), labels.x (too long)",
  });
});

test("text from the server cannot control the terminal", async () => {
  answer(422, { detail: "a\u001b[2Jb\nc", errors: [{ field: "\u001b]0;x\u0007y" }] });
  const { error } = await run();
  expect(error).toMatchObject({
    message: `${server.url} does not accept the build: ab c`,
    expected: "other values of y",
  });
});

test.each([429, 503])("after status %d, waits for the time that the server requests", async (status) => {
  answer(status, { detail: "full" }, { "retry-after": "7" });
  answer(status, { detail: "full" });
  const published = await run();
  expect(published.error).toBeUndefined();
  expect(published.clock.pauses).toEqual([7000, 2000]);
  expect(server.builds).toHaveLength(1);
});

test("does not wait if the server requests more than some minutes", async () => {
  answer(503, { detail: "maintenance" }, { "retry-after": "86400" });
  const { error, clock } = await run();
  expect(error).toMatchObject({ code: "refused", message: `${server.url} answers 503: maintenance` });
  expect(clock.pauses).toEqual([]);
});

test("reports at once that the server is not a build service", async () => {
  server.hooks.push((_, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<p>It works!");
    return true;
  });
  expect((await run()).error).toMatchObject({ code: "server-unreachable", exitStatus: 19 });
});

test("does not follow a redirect, because it would send the token elsewhere", async () => {
  await using other = await StandIn.start();
  server.hooks.push((_, response) => {
    response.writeHead(307, { location: `${other.url}/api/v2/builds` }).end();
    return true;
  });
  const { error } = await run({ env: { BUILD_AUTH: "dos_env" } });
  expect(error).toMatchObject({ code: "server-unreachable" });
  expect(other.requests).toEqual([]);
});

test("reports at once that the server does not run", async () => {
  await server.stop();
  const { error, clock } = await run();
  expect(error).toMatchObject({
    code: "server-unreachable",
    message: expect.stringContaining("ECONNREFUSED") as string,
  });
  expect(clock.pauses).toEqual([]);
  await server.listen();
});

test("accepts a token that may build but not read with --detach, and rejects it before the upload otherwise", async () => {
  answer(403, { detail: 'it lacks the scope "read"' }, {}, "GET");
  expect((await run({ detach: true })).error).toBeUndefined();
  answer(403, { detail: 'it lacks the scope "read"' }, {}, "GET");
  expect((await run()).error).toMatchObject({ code: "refused", message: expect.stringContaining("read") as string });
  expect(server.builds).toHaveLength(1);
});

function pseudoRandom(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let at = 0; at + 4 <= length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE(state, at);
  }
  return bytes;
}
