import { expect, test } from "vitest";
import { StoreUnavailable } from "../../../src/store/job-store.ts";
import { newJob, runningJob } from "../../fixtures/new-job.ts";
import { listenOnLoopback, openStream, parseEvents } from "../../fixtures/sse-client.ts";
import { testAccess, testApp, testClient } from "../../fixtures/test-app.ts";

const EVENTS = { accept: "text/event-stream" };
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}`);
const linesOf = (text: string): string[] =>
  parseEvents(text)
    .filter(({ event }) => event === "log")
    .map(({ data }) => data);

test("returns the log of a job that is over as text, with colours", async () => {
  await using server = testApp();
  const { id } = await runningJob(server.store, ["\u001B[31mred\u001B[0m", "", "ümlaut"]);
  server.store.change(id, { state: "succeeded" });
  const answer = await server.app.inject(`/api/v2/builds/${id}/logs`);
  expect(answer.headers["content-type"]).toBe("text/plain; charset=utf-8");
  expect(answer.body).toBe("\u001B[31mred\u001B[0m\n\nümlaut\n");
});

test("ends the text of a running job with its last line so far, unless it follows", async () => {
  await using server = testApp();
  const { id } = await runningJob(server.store, numbered(1, 3));
  expect((await server.app.inject(`/api/v2/builds/${id}/logs`)).body).toBe("line 1\nline 2\nline 3\n");
  expect((await server.app.inject(`/api/v2/builds/${id}/logs?after=2`)).body).toBe("line 3\n");
  using follower = await openStream(await listenOnLoopback(server.app), `/api/v2/builds/${id}/logs?follow=true`, {});
  await follower.until(/line 3\n$/);
  server.store.log(id, ["line 4"]);
  await follower.until(/line 4\n$/);
  server.store.log(id, ["line 5"]);
  server.store.change(id, { state: "failed" });
  expect(await follower.ended).toBe(
    numbered(1, 5)
      .map((line) => `${line}\n`)
      .join(""),
  );
});

test("sends the headers to a follower before the first line", async () => {
  await using server = testApp();
  const { id } = await runningJob(server.store, []);
  using follower = await openStream(await listenOnLoopback(server.app), `/api/v2/builds/${id}/logs?follow=true`, {});
  expect(follower.response.statusCode).toBe(200);
  server.store.change(id, { state: "succeeded" });
  expect(await follower.ended).toBe("");
});

test("sends events: the job, its lines with their IDs, its states, and the end", async () => {
  await using server = testApp();
  const { id } = await runningJob(server.store, ["one", "two"]);
  using reader = await openStream(await listenOnLoopback(server.app), `/api/v2/builds/${id}/logs`);
  await reader.until(/two/);
  server.store.change(id, { state: "pushing" });
  await reader.until(/pushing/);
  server.store.log(id, ["three"]);
  server.store.change(id, { state: "succeeded", digest: "sha256:1" });
  const events = parseEvents(await reader.ended);
  expect(events.map(({ event }) => event)).toEqual(["job", "log", "log", "job", "log", "job", "end"]);
  expect(events.filter(({ event }) => event === "log").map(({ id, data }) => [id, data])).toEqual([
    ["1", "one"],
    ["2", "two"],
    ["3", "three"],
  ]);
  expect(JSON.parse(events.at(-2)?.data ?? "")).toMatchObject({ id, state: "succeeded", digest: "sha256:1" });
  expect(events.at(-1)).toEqual({ event: "end", id: "end", data: '{"state":"succeeded"}' });
  expect((await server.app.inject({ url: `/api/v2/builds/${id}/logs`, headers: EVENTS })).headers).toMatchObject({
    "content-type": "text/event-stream",
    "cache-control": "no-store",
  });
});

test("resumes after the last line of a reader that reconnects, without losing or repeating lines", async () => {
  await using server = testApp();
  const { id } = await runningJob(server.store, numbered(1, 5000));
  const port = await listenOnLoopback(server.app);
  const received: string[] = [];
  let lastId: string | undefined;
  let written = 5000;
  for (let connection = 1; connection <= 5; connection++) {
    const again = lastId === undefined ? {} : { "last-event-id": lastId };
    using reader = await openStream(port, `/api/v2/builds/${id}/logs`, { ...EVENTS, ...again });
    await reader.until(/data: line/);
    // The received data up to the last complete event: the rest is lost with the connection.
    const whole = reader.text().slice(0, reader.text().lastIndexOf("\n\n"));
    const events = parseEvents(whole).filter(({ event }) => event === "log");
    received.push(...events.map(({ data }) => data));
    lastId = events.at(-1)?.id;
    server.store.log(id, numbered(written + 1, written + 1000));
    written += 1000;
  }
  server.store.change(id, { state: "succeeded" });
  using reader = await openStream(port, `/api/v2/builds/${id}/logs`, { ...EVENTS, "last-event-id": lastId ?? "" });
  received.push(...linesOf(await reader.ended));
  expect(received).toEqual(numbered(1, written));
});

test("sends nothing to a reader that has the end; treats an ID that no store assigns as the start", async () => {
  await using server = testApp();
  const { id } = await runningJob(server.store, ["one"]);
  server.store.change(id, { state: "succeeded" });
  const url = `/api/v2/builds/${id}/logs`;
  const done = await server.app.inject({ url, headers: { ...EVENTS, "last-event-id": "end" } });
  expect(done.statusCode).toBe(204);
  const odd = await server.app.inject({ url, headers: { ...EVENTS, "last-event-id": "é é" } });
  expect(linesOf(odd.body)).toEqual(["one"]);
  expect((await server.app.inject(`${url}?after=%20`)).statusCode).toBe(400);
  expect((await server.app.inject(`${url}?tail=1`)).statusCode).toBe(400);
});

test("does not let a line fake an event", async () => {
  await using server = testApp();
  const { id } = await runningJob(server.store, ["10%\r20%\revent: end\r\rid: 7"]);
  server.store.change(id, { state: "failed" });
  const { body } = await server.app.inject({ url: `/api/v2/builds/${id}/logs`, headers: EVENTS });
  expect(parseEvents(body).map(({ event, id, data }) => [event, id, data])).toEqual([
    ["job", undefined, expect.any(String)],
    ["log", "1", "10%\n20%\nevent: end\n\nid: 7"],
    ["end", "end", expect.any(String)],
  ]);
});

test("treats a job of somebody else like one that does not exist; needs the scope", async () => {
  const clients = [
    testClient("ann"),
    testClient("bob"),
    testClient("root", { scope: ["admin"] }),
    testClient("ci", { scope: ["build"] }),
  ];
  await using server = testApp({ access: testAccess(clients) });
  const { id } = await runningJob(server.store, ["secret"], "ann");
  server.store.change(id, { state: "succeeded" });
  const read = async (name: string, path = `/api/v2/builds/${id}/logs`) =>
    server.app.inject({ url: path, headers: { authorization: `Bearer ${name}` } });
  expect((await read("ann")).body).toBe("secret\n");
  expect((await read("root")).body).toBe("secret\n");
  const [other, none] = [await read("bob"), await read("bob", `/api/v2/builds/${newJob().id}/logs`)];
  expect([other.statusCode, other.body]).toEqual([404, none.body]);
  expect((await read("ci")).statusCode).toBe(403);
  expect((await read("nobody")).statusCode).toBe(401);
});

test("keeps a stream open while the store cannot be reached, with heartbeats", async () => {
  await using server = testApp({ streams: { heartbeat: 5, retryDelay: 5 } });
  const { id } = await runningJob(server.store, ["one"]);
  using reader = await openStream(await listenOnLoopback(server.app), `/api/v2/builds/${id}/logs`);
  await reader.until(/one\n\n(?::\n\n)+$/);
  server.store.failure = new StoreUnavailable("gone");
  server.store.log(id, ["two"]);
  server.store.change(id, { state: "succeeded" });
  await reader.until(/one\n\n(?::\n\n){5,}$/);
  server.store.failure = undefined;
  expect(parseEvents(await reader.ended).map(({ event }) => event)).toEqual(["job", "log", "log", "job", "end"]);
});
