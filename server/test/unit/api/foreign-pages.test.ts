import { describe, expect, test } from "vitest";
import { testApp, type TestApp } from "../../fixtures/test-app.ts";

type Answer = Awaited<ReturnType<TestApp["app"]["inject"]>>;
const url = "/api/v2/builds";

const list = (server: TestApp, headers: Record<string, string>): Promise<Answer> =>
  server.app.inject({ method: "GET", url, headers });

/** Sends a request that a page may send without asking the browser first */
const submit = (server: TestApp, headers: Record<string, string>): Promise<Answer> =>
  server.app.inject({ method: "POST", url, headers: { host: "127.0.0.1:8080", ...headers } });

describe("a server without tokens", () => {
  test.each(["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "builds.localhost"])("answers to %s", async (host) => {
    await using server = testApp();
    expect((await list(server, { host })).statusCode).toBe(200);
  });

  test.each([
    ["a name that resolves to this machine", { host: "changing.example.com:8080" }],
    ["one that looks like localhost", { host: "localhost.example.com" }],
    ["the address of another machine", { host: "10.0.0.7:8080" }],
    ["an invalid name", { host: "a b" }],
    // A page may send any header to its own name.
    ["such a name, forwarded as localhost", { host: "changing.example.com", "x-forwarded-host": "localhost:8080" }],
  ])("does not answer a page at %s", async (_what, headers) => {
    await using server = testApp();
    const answer = await list(server, headers);
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([403, "foreign-host"]);
    expect(answer.body).not.toContain("example.com");
  });

  test.each([
    ["another site", { origin: "https://evil.example.com" }],
    ["another port", { origin: "http://127.0.0.1:9090" }],
    ["a sandbox", { origin: "null" }],
    ["another site, by its form", { "sec-fetch-site": "cross-site" }],
  ])("accepts no job from a page of %s", async (_what, headers) => {
    await using server = testApp();
    const answer = await submit(server, { "content-type": "application/json", ...headers });
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([403, "foreign-origin"]);
    const own = await submit(server, { origin: "http://127.0.0.1:8080", "sec-fetch-site": "same-origin" });
    expect(own.json<{ code: string }>().code).not.toBe("foreign-origin");
  });
});
