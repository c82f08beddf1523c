import { expect, test, vi } from "vitest";
import { MAX_BODIES, MAX_LARGEST } from "../../../src/api/http/client-shares.ts";
import { runningJob } from "../../fixtures/new-job.ts";
import { listening, rawConnection, statusOf, type RawConnection } from "../../fixtures/raw-request.ts";
import { openStream } from "../../fixtures/sse-client.ts";
import { testAccess, testApp, testClient, type TestApp } from "../../fixtures/test-app.ts";

const url = "/api/v2/builds";
const greedy = testClient("greedy", { limits: { body: 1000 } });
const access = testAccess([greedy, testClient("other")]);

/** The machine may be busy. */
const eventually = async (check: () => Promise<void>): Promise<void> => await vi.waitFor(check, 10_000);

/** Begins an upload of 1000 bytes, and sends some of them. */
async function upload(port: number, bytes: number): Promise<RawConnection> {
  const connection = await rawConnection(port);
  const head = [
    `POST ${url}?name=app HTTP/1.1`,
    "Host: localhost",
    "Authorization: Bearer greedy",
    "Content-Type: application/x-tar",
    "Content-Length: 1000",
  ];
  connection.socket.write(`${head.join("\r\n")}\r\n\r\n${"x".repeat(bytes)}`);
  return connection;
}

async function submit({ app }: TestApp, client: string): Promise<number> {
  const headers = { authorization: `Bearer ${client}` };
  return (await app.inject({ method: "POST", url, headers, payload: { name: "app", dockerfile: "FROM scratch" } }))
    .statusCode;
}

test("limits the simultaneous bodies of a client, without affecting other clients", async () => {
  await using server = testApp({ access });
  const port = await listening(server.app);
  const uploads = await Promise.all(Array.from({ length: MAX_BODIES + 1 }, async () => await upload(port, 0)));
  const refused = await Promise.race(uploads.map(async (upload) => await upload.received("too-many-at-once")));
  expect(statusOf(refused)).toBe(429); // so the others have arrived
  expect(await submit(server, "greedy")).toBe(429);
  expect(await submit(server, "other")).toBe(202);
  for (const { socket } of uploads) socket.destroy();
  await eventually(async () => expect(await submit(server, "greedy")).toBe(202));
  for (const connection of uploads) connection[Symbol.dispose]();
});

test("limits the total bytes of a client's uploads that are not yet jobs", async () => {
  await using server = testApp({ access });
  const port = await listening(server.app);
  const uploads = await Promise.all(Array.from({ length: MAX_LARGEST + 1 }, async () => await upload(port, 900)));
  const refused = await Promise.race(uploads.map(async (upload) => await upload.received("too-many-at-once")));
  expect(statusOf(refused)).toBe(429);
  for (const connection of uploads) connection[Symbol.dispose]();
});

test("counts a retry like the upload that it repeats", async () => {
  await using server = testApp({ access });
  const port = await listening(server.app);
  const headers = { authorization: "Bearer greedy", "content-type": "application/x-tar" };
  const sent = await server.app.inject({ method: "POST", url: `${url}?name=app`, headers, payload: "x".repeat(1000) });
  const { id } = sent.json<{ id: string }>();
  server.store.change(id, { state: "failed" });
  const retry = async (): Promise<number> =>
    (
      await server.app.inject({
        method: "POST",
        url: `${url}/${id}/retry`,
        headers: { authorization: "Bearer greedy" },
      })
    ).statusCode;
  const uploads = await Promise.all(Array.from({ length: MAX_LARGEST + 1 }, async () => await upload(port, 900)));
  await Promise.race(uploads.map(async (upload) => await upload.received("too-many-at-once"))); // so the others have arrived
  expect(await retry()).toBe(429);
  for (const connection of uploads) connection[Symbol.dispose]();
  await eventually(async () => expect(await retry()).toBe(202));
});

test("limits the open streams of a client", async () => {
  await using server = testApp({ access, streams: { perClient: 2 } });
  const { id } = await runningJob(server.store, [], "greedy");
  const port = await listening(server.app);
  const open = (path: string, client: string): ReturnType<typeof openStream> =>
    openStream(port, path, { accept: "text/event-stream", authorization: `Bearer ${client}` });
  using first = await open(`${url}/${id}/logs`, "greedy");
  using _second = await open("/api/v2/events", "greedy");
  for (const path of [`${url}/${id}/logs`, `${url}/${id}/logs?follow=true`, "/api/v2/events"]) {
    using refused = await open(path, "greedy");
    expect(refused.response.statusCode).toBe(429);
  }
  using others = await open("/api/v2/events", "other");
  expect(others.response.statusCode).toBe(200);
  first[Symbol.dispose]();
  await eventually(async () => {
    using again = await open("/api/v2/events", "greedy");
    expect(again.response.statusCode).toBe(200);
  });
});

test("closes a connection without activity, even while a response waits to be read", async () => {
  await using server = testApp();
  await listening(server.app);
  expect(server.app.server.timeout).toBeGreaterThan(0);
  expect(server.app.server.maxConnections).toBeGreaterThan(0);
});
