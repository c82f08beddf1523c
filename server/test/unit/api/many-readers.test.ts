import type { FastifyInstance } from "fastify";
import { expect, test, vi } from "vitest";
import type { LogPiece } from "../../../src/store/job-store.ts";
import { runningJob } from "../../fixtures/new-job.ts";
import { listenOnLoopback, openStream } from "../../fixtures/sse-client.ts";
import { testApp } from "../../fixtures/test-app.ts";

const READERS = 200;
/** Far more pieces, of 32 kB each, than the buffers of a connection hold */
const MANY = 5000;

async function readersOf(app: FastifyInstance, stream: string): Promise<number> {
  const { body } = await app.inject("/metrics");
  return Number(new RegExp(`stream_readers\\{stream="${stream}"\\} (\\d+)`).exec(body)?.[1]);
}

test("shares the reads of one log among its readers", async () => {
  await using server = testApp();
  const { id } = await runningJob(server.store, ["line 1"]);
  const readLog = vi.spyOn(server.store, "readLog");
  const get = vi.spyOn(server.store, "get");
  const port = await listenOnLoopback(server.app);
  const readers = await Promise.all(
    Array.from({ length: READERS }, () => openStream(port, `/api/v2/builds/${id}/logs`)),
  );
  await Promise.all(readers.map((reader) => reader.until(/line 1\n\n/)));
  expect(await readersOf(server.app, "log")).toBe(READERS);

  readLog.mockClear();
  get.mockClear();
  server.store.log(id, ["line 2"]);
  await Promise.all(readers.map((reader) => reader.until(/line 2\n\n/)));
  server.store.change(id, { state: "pushing" });
  await Promise.all(readers.map((reader) => reader.until(/pushing/)));
  expect(readLog.mock.calls.length).toBeLessThan(READERS / 10);
  expect(get.mock.calls.length).toBeLessThan(READERS / 10);

  server.store.change(id, { state: "succeeded" });
  await Promise.all(readers.map((reader) => reader.ended));
  expect(await readersOf(server.app, "log")).toBe(0);
});

test.each([
  { what: "text", headers: {} },
  { what: "events", headers: { accept: "text/event-stream" } },
])("$what: drops a reader that receives nothing, after few reads; keeps an idle one", async ({ headers }) => {
  await using server = testApp({ streams: { stall: 300 } });
  const { store, app } = server;
  const { id: quiet } = await runningJob(store, ["line 1"]);
  const { id: loud } = await runningJob(store, []);
  const readLog = store.readLog.bind(store);
  const text = "x".repeat(1000);
  let pieces = 0;
  vi.spyOn(store, "readLog").mockImplementation(async (id, options): Promise<LogPiece> => {
    if (id !== loud) return readLog(id, options);
    if (pieces === MANY) return { lines: [], isLast: true };
    pieces += 1;
    return { lines: Array.from({ length: 32 }, (_, index) => ({ id: `${pieces}-${index}`, text })), isLast: false };
  });
  const port = await listenOnLoopback(app);
  using idle = await openStream(port, `/api/v2/builds/${quiet}/logs?follow=true`, headers);
  await idle.until(/line 1/);
  using stuck = await openStream(port, `/api/v2/builds/${loud}/logs?follow=true`, headers);
  stuck.response.pause();
  expect(await readersOf(app, "log")).toBe(2);
  await vi.waitFor(async () => expect(await readersOf(app, "log")).toBe(1), { timeout: 30_000 });
  expect(pieces).toBeGreaterThan(1);
  expect(pieces).toBeLessThan(MANY / 5);
  store.log(quiet, ["line 2"]);
  await idle.until(/line 2/);
});

test("forgets a disconnected reader at once", async () => {
  await using server = testApp();
  const { id } = await runningJob(server.store, ["line 1"]);
  const port = await listenOnLoopback(server.app);
  {
    using reader = await openStream(port, `/api/v2/builds/${id}/logs`);
    using all = await openStream(port, "/api/v2/events");
    await reader.until(/line 1/);
    await all.until(/retry/);
    expect([await readersOf(server.app, "log"), await readersOf(server.app, "jobs")]).toEqual([1, 1]);
  }
  await vi.waitFor(async () => {
    expect([await readersOf(server.app, "log"), await readersOf(server.app, "jobs")]).toEqual([0, 0]);
  });
});
