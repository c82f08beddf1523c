import { describe, expect, test } from "vitest";
import { Failure } from "docker-over-ssh/builds";
import { StoreUnavailable } from "../../../src/store/job-store.ts";
import { testAccess, testApp, testClient } from "../../fixtures/test-app.ts";
import type { FastifyPluginAsync } from "fastify";

const thrower =
  (error: Error): FastifyPluginAsync =>
  async (app) => {
    app.get("/thrown", { config: { scope: "read" } }, async () => {
      throw error;
    });
  };

describe("problem details", () => {
  test.each([
    [new StoreUnavailable("redis://secret"), 503, "store-unavailable"],
    [new Failure("no-space", "/var/lib is full"), 507, "no-space"],
    [new Error("at /home/somebody"), 500, "internal"],
  ])("%s", async (error, status, code) => {
    await using server = testApp({ plugins: [thrower(error)] });
    const answer = await server.app.inject({ url: "/thrown" });
    expect(answer.statusCode).toBe(status);
    expect(answer.headers["content-type"]).toMatch(/^application.problem.json/);
    expect(answer.json()).toMatchObject({ status, code });
    expect(answer.body).not.toContain(error.message);
    if (status === 503) expect(answer.headers["retry-after"]).toBe("5");
  });

  test("are sent for an unknown address, and for another method", async () => {
    await using server = testApp({ plugins: [thrower(new Error("unused"))] });
    expect((await server.app.inject({ url: "/other" })).json()).toMatchObject({ status: 404, code: "not-found" });
    const other = await server.app.inject({ url: "/thrown?x", method: "DELETE" });
    expect(other.json()).toMatchObject({ status: 405, code: "method-not-allowed" });
    expect(other.headers["allow"]).toBe("GET, HEAD");
  });
});

describe("tokens", () => {
  const ok: FastifyPluginAsync = async (app) => {
    app.get("/ok", { config: { scope: "read" } }, async () => ({}));
  };

  test("a missing, a wrong and a malformed one get the same response", async () => {
    await using server = testApp({ access: testAccess([testClient("t1")]), plugins: [ok] });
    const answers = await Promise.all(
      [undefined, "Bearer wrong", "Basic eDp5", "Bearer "].map((authorization) =>
        server.app.inject({ url: "/ok", headers: authorization === undefined ? {} : { authorization } }),
      ),
    );
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1);
    for (const { statusCode, headers } of answers) {
      expect(statusCode).toBe(401);
      expect(headers["www-authenticate"]).toMatch(/^Bearer /);
    }
    const right = await server.app.inject({ url: "/ok", headers: { authorization: "t1" } });
    expect(right.statusCode).toBe(200);
  });

  test("one without the scope is rejected", async () => {
    await using server = testApp({ access: testAccess([testClient("t1", { scope: ["build"] })]), plugins: [ok] });
    const answer = await server.app.inject({ url: "/ok", headers: { authorization: "Bearer t1" } });
    expect(answer.statusCode).toBe(403);
  });

  test("after many wrong ones from an address, other wrong ones wait; valid ones and other addresses pass", async () => {
    await using server = testApp({ access: testAccess([testClient("t1")]), plugins: [ok] });
    const ask = async (token: string | undefined, remoteAddress: string): Promise<number> => {
      const headers = { ...(token !== undefined && { authorization: token }) };
      const answer = await server.app.inject({ url: "/ok", headers, remoteAddress });
      if (answer.statusCode === 429) expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
      return answer.statusCode;
    };
    for (let count = 0; count < 100; count++) expect(await ask("t1", "192.0.2.1")).toBe(200);
    for (let count = 0; count < 20; count++) expect(await ask("wrong", "192.0.2.1")).toBe(401);
    expect(await ask("wrong", "192.0.2.1")).toBe(429);
    expect(await ask(undefined, "192.0.2.1")).toBe(401); // it is not a guess
    expect(await ask("t1", "192.0.2.1")).toBe(200);
    expect(await ask("wrong", "192.0.2.1")).toBe(429);
    expect(await ask("wrong", "192.0.2.2")).toBe(401);
  });

  test("refuses to start with a route without a scope", async () => {
    const forgotten: FastifyPluginAsync = async (app) => {
      app.get("/forgotten", async () => ({}));
    };
    await using server = testApp({ plugins: [forgotten] });
    await expect(server.app.ready()).rejects.toThrow("/forgotten has no scope");
  });
});
