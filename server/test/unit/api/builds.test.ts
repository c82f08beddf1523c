import { readdir, readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parseNamePattern } from "docker-over-ssh/builds";
import { isOver } from "../../../src/jobs/job.ts";
import { StoreUnavailable } from "../../../src/store/job-store.ts";
import { testAccess, testApp, testClient, type TestApp } from "../../fixtures/test-app.ts";

type Answer = Awaited<ReturnType<TestApp["app"]["inject"]>>;
const url = "/api/v2/builds";
const clients = [
  testClient("t1"),
  testClient("t2"),
  testClient("reader", { scope: ["read"] }),
  testClient("admin", { scope: ["admin"] }),
  testClient("narrow", { scope: ["admin"], images: [parseNamePattern("team/*")] }),
];

let server: TestApp;
beforeAll(() => void (server = testApp({ access: testAccess(clients), hasWebhookSecret: true })));
afterAll(async () => await server[Symbol.asyncDispose]());

const as = (authorization: string, path: string, method: "GET" | "POST" = "GET", payload?: object): Promise<Answer> =>
  server.app.inject({ method, url: `${url}${path}`, headers: { authorization }, ...(payload && { payload }) });

async function submitted(token: string, more: object = {}): Promise<string> {
  const answer = await as(token, "", "POST", { name: "app", dockerfile: "FROM scratch", ...more });
  expect(answer.statusCode).toBe(202);
  return answer.json<{ id: string }>().id;
}

describe("a job", () => {
  test("contains all known facts", async () => {
    const id = await submitted("t1");
    server.store.change(id, {
      state: "failed",
      reason: { code: "push-refused", message: "denied", hint: undefined },
      attempts: 2,
      acceptedAt: Date.UTC(2026, 0, 2),
      startedAt: Date.UTC(2026, 0, 2, 1),
      finishedAt: Date.UTC(2026, 0, 2, 1, 0, 2, 5),
      phases: { queue: 1500, build: 20 },
      imageId: `sha256:${"1".repeat(64)}`,
      digest: `sha256:${"2".repeat(64)}`,
      size: 3,
      contextBytes: 4,
    });
    expect((await as("t1", `/${id}`)).json()).toMatchObject({
      id,
      state: "failed",
      reason: { code: "push-refused", message: "denied" },
      attempts: 2,
      acceptedAt: "2026-01-02T00:00:00.000Z",
      startedAt: "2026-01-02T01:00:00.000Z",
      finishedAt: "2026-01-02T01:00:02.005Z",
      seconds: { queue: 1.5, build: 0.02 },
      imageId: `sha256:${"1".repeat(64)}`,
      digest: `sha256:${"2".repeat(64)}`,
      size: 3,
      contextBytes: 4,
      links: { self: `${url}/${id}` },
    });
  });

  test("contains the position in the queue", async () => {
    const id = await submitted("t1");
    const before = await server.store.counts();
    expect((await as("t1", `/${id}`)).json()).toMatchObject({ position: before.queued - 1 });
    server.store.change(id, { state: "running" });
    expect((await as("t1", `/${id}`)).json()).not.toHaveProperty("position");
  });

  test("of somebody else looks like one that does not exist, except to an admin", async () => {
    const id = await submitted("t1");
    const missing = "01890a5d-ac96-774b-bcce-b302099a8057";
    const routes = ["", "/cancel", "/retry", "/deliveries", "/logs"] as const;
    for (const route of routes) {
      const method = route === "/cancel" || route === "/retry" ? "POST" : "GET";
      const [other, none] = [await as("t2", `/${id}${route}`, method), await as("t2", `/${missing}${route}`, method)];
      expect(other.statusCode).toBe(404);
      expect(other.body).toBe(none.body);
    }
    expect(isOver(server.store.jobOf(id))).toBe(false);
    expect((await as("admin", `/${id}`)).statusCode).toBe(200);
  });

  test.each(["..%2f..%2fetc%2fpasswd", "a", "%00", "01890A5D-AC96-774B-BCCE-B302099A8057"])(
    "is never requested from the store by an invalid ID, which the store may make a path of: %s",
    async (id) => {
      const get = vi.spyOn(server.store, "get");
      expect((await as("admin", `/${id}`)).statusCode).toBe(404);
      expect(get).not.toHaveBeenCalled();
      get.mockRestore();
    },
  );

  test("is answered with 503 and Retry-After while the store cannot be reached", async () => {
    const id = await submitted("t1");
    server.store.failure = new StoreUnavailable("gone");
    try {
      const answer = await as("t1", `/${id}`);
      expect(answer.json()).toMatchObject({ status: 503, code: "store-unavailable" });
      expect(answer.headers["retry-after"]).toBe("5");
      expect((await as("t1", "", "POST", { name: "app", dockerfile: "FROM scratch" })).statusCode).toBe(503);
    } finally {
      server.store.failure = undefined;
    }
  });
});

describe("the list", () => {
  const names = (answer: Answer): string[] =>
    answer.json<{ builds: { name: string }[] }>().builds.map(({ name }) => name);

  test("contains one's own jobs, filtered by state and name, in pages", async () => {
    await using list = testApp({ access: testAccess(clients) });
    const ask = (token: string, query: string): Promise<Answer> =>
      list.app.inject({ url: `${url}${query}`, headers: { authorization: token } });
    for (const [token, name] of [
      ["t1", "a1"],
      ["t1", "a2"],
      ["t2", "b1"],
      ["t1", "a3"],
    ] as const) {
      const payload = { name, dockerfile: "FROM scratch" };
      const answer = await list.app.inject({ method: "POST", url, payload, headers: { authorization: token } });
      if (name === "a2") list.store.change(answer.json<{ id: string }>().id, { state: "failed" });
    }
    expect(names(await ask("t1", ""))).toEqual(["a3", "a2", "a1"]);
    expect(names(await ask("admin", ""))).toEqual(["a3", "b1", "a2", "a1"]);
    expect(names(await ask("t1", "?status=failed,running"))).toEqual(["a2"]);
    expect(names(await ask("t1", "?status=failed&status=queued&name=2"))).toEqual(["a2"]);
    const first = await ask("t1", "?limit=2");
    expect(names(first)).toEqual(["a3", "a2"]);
    const { cursor } = first.json<{ cursor: string }>();
    const second = await ask("t1", `?limit=2&cursor=${cursor}`);
    expect(names(second)).toEqual(["a1"]);
    expect(second.json()).not.toHaveProperty("cursor");
  });

  test.each(["?status=done", "?limit=0", "?limit=x", "?page=2", "?cursor=%20", "?cursor=2"])(
    "rejects %s",
    async (query) => {
      const answer = await as("t1", query);
      expect(answer.json()).toMatchObject({ status: 400, code: "invalid" });
    },
  );
});

describe("cancel", () => {
  test("ends a queued job, and has no effect the second time", async () => {
    const id = await submitted("t1");
    const first = await as("t1", `/${id}/cancel`, "POST");
    expect(first.json()).toMatchObject({ state: "cancelled" });
    const again = await as("t1", `/${id}/cancel`, "POST");
    expect(again.statusCode).toBe(200);
    expect(again.body).toBe(first.body);
  });

  test("needs the scope", async () => {
    expect((await as("reader", `/${await submitted("t1")}/cancel`, "POST")).statusCode).toBe(403);
  });
});

describe("retry", () => {
  const retry = (token: string, id: string, payload?: object): Promise<Answer> =>
    as(token, `/${id}/retry`, "POST", payload);
  const over = (id: string): void => void server.store.change(id, { state: "failed" });

  test("creates a job with the same order and the same Dockerfile", async () => {
    const id = await submitted("t1", {
      target: "x",
      labels: { a: "b" },
      webhook: { url: "https://hooks.example.com/" },
    });
    over(id);
    const answer = await retry("t1", id);
    expect(answer.statusCode).toBe(202);
    const again = answer.json<{ id: string }>();
    expect(again).toMatchObject({
      state: "queued",
      retryOf: id,
      target: "x",
      labels: { a: "b" },
      webhook: "https://hooks.example.com/",
      links: { retryOf: `${url}/${id}` },
    });
    expect(again.id).not.toBe(id);
    expect(answer.headers["location"]).toBe(`${url}/${again.id}`);
    expect(await readFile((await server.store.bodyOf(again.id)) ?? "", "utf8")).toBe("FROM scratch");
  });

  test("copies the bytes of an archive, because the old job may be removed", async () => {
    const answer = await server.app.inject({
      method: "POST",
      url: `${url}?name=app`,
      payload: "a tar",
      headers: { authorization: "t1", "content-type": "application/x-tar" },
    });
    const { id } = answer.json<{ id: string }>();
    over(id);
    const again = (await retry("t1", id)).json<{ id: string }>();
    server.store.forgetBody(id);
    expect(again).toMatchObject({ source: { kind: "archive", bytes: 5 } });
    expect(await readFile((await server.store.bodyOf(again.id)) ?? "", "utf8")).toBe("a tar");
    const files = await readdir(server.store.folder);
    expect((await retry("t1", id)).json()).toMatchObject({ status: 409, code: "body-gone" });
    expect(await readdir(server.store.folder)).toEqual(files);
  });

  test("fetches an address again", async () => {
    const archiveUrl = "https://files.example.com/a.tar";
    const id = await submitted("t1", { dockerfile: undefined, archiveUrl });
    over(id);
    expect((await retry("t1", id)).json()).toMatchObject({ source: { kind: "address", url: archiveUrl } });
  });

  test("rejects a job that is not over", async () => {
    expect((await retry("t1", await submitted("t1"))).json()).toMatchObject({ status: 409, code: "not-over" });
  });

  test("needs the credentials again", async () => {
    const credentials = { username: "u", password: "p" };
    const id = await submitted("t1", { credentials });
    over(id);
    expect((await retry("t1", id)).json()).toMatchObject({ status: 422, errors: [{ field: "credentials" }] });
    const again = (await retry("t1", id, { credentials })).json<{ id: string }>();
    expect(server.store.credentialsOf(again.id)).toEqual(credentials);
    expect((await retry("t1", id, { credentials, extra: 1 })).statusCode).toBe(400);
  });

  test("checks the permissions of the token again", async () => {
    const id = await submitted("t1");
    over(id);
    expect((await retry("narrow", id)).json()).toMatchObject({ status: 403, code: "name-not-allowed" });
  });
});

test("lists the deliveries of a webhook", async () => {
  const id = await submitted("t1", { webhook: { url: "https://hooks.example.com/" } });
  const at = Date.UTC(2026, 0, 2);
  server.store.change(id, {
    webhook: {
      url: "https://hooks.example.com/",
      deliveries: [
        { at, error: "no answer", ms: 1500 },
        { at, status: 500, ms: 20 },
      ],
      nextAt: at,
    },
  });
  expect((await as("t1", `/${id}/deliveries`)).json()).toEqual({
    url: "https://hooks.example.com/",
    deliveries: [
      { at: "2026-01-02T00:00:00.000Z", error: "no answer", seconds: 1.5 },
      { at: "2026-01-02T00:00:00.000Z", status: 500, seconds: 0.02 },
    ],
    nextAt: "2026-01-02T00:00:00.000Z",
  });
  expect((await as("t1", `/${await submitted("t1")}/deliveries`)).json()).toEqual({ deliveries: [] });
});
