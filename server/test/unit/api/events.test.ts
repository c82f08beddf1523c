import { expect, test, vi } from "vitest";
import type { Job } from "../../../src/jobs/job.ts";
import { JobFeed } from "../../../src/api/streams/job-feed.ts";
import { StoreUnavailable } from "../../../src/store/job-store.ts";
import { MemoryStore } from "../../fixtures/memory-store.ts";
import { newJob, runningJob } from "../../fixtures/new-job.ts";
import { listenOnLoopback, openStream, parseEvents } from "../../fixtures/sse-client.ts";
import { testAccess, testApp, testClient } from "../../fixtures/test-app.ts";

const jobsIn = (text: string): Job[] => parseEvents(text).map(({ data }) => JSON.parse(data) as Job);

test("sends jobs when they change, including new ones", async () => {
  await using server = testApp();
  using reader = await openStream(await listenOnLoopback(server.app), "/api/v2/events");
  expect(reader.response.headers["content-type"]).toBe("text/event-stream");
  const { id } = newJob();
  await server.store.add({ job: newJob({ id }) });
  await reader.until(/queued/);
  server.store.change(id, { state: "running" });
  await reader.until(/"running"/);
  server.store.log(id, ["no event"]);
  server.store.change(id, { state: "succeeded" });
  const jobs = jobsIn(await reader.until(/"succeeded"/));
  expect(jobs.map((job) => [job.id, job.state])).toEqual([
    [id, "queued"],
    [id, "running"],
    [id, "succeeded"],
  ]);
});

test("sends a client its own jobs, and an admin all jobs", async () => {
  const clients = [testClient("ann"), testClient("bob"), testClient("root", { scope: ["admin"] })];
  await using server = testApp({ access: testAccess(clients) });
  const port = await listenOnLoopback(server.app);
  const open = (name: string) => openStream(port, "/api/v2/events", { authorization: name });
  using ann = await open("ann");
  using bob = await open("bob");
  using root = await open("root");
  const { id: first } = await runningJob(server.store, [], "ann");
  const { id: second } = await runningJob(server.store, [], "bob");
  await Promise.all([ann.until(new RegExp(first)), bob.until(new RegExp(second)), root.until(new RegExp(second))]);
  const seen = (text: string): string[] => [...new Set(jobsIn(text).map(({ owner }) => owner))];
  expect([seen(ann.text()), seen(bob.text()), seen(root.text())]).toEqual([["ann"], ["bob"], ["ann", "bob"]]);
});

test("reads a change once for all readers; a slow one gets the newest state of each job", async () => {
  await using store = new MemoryStore();
  using feed = new JobFeed(store);
  const readers = Array.from({ length: 50 }, () => feed.readJobs(() => true));
  const { id: first } = await runningJob(store, []);
  const { id: second } = await runningJob(store, []);
  await vi.waitFor(() => expect(readers[0]?.take(9).map(({ id }) => id)).toEqual([first, second]));
  const get = vi.spyOn(store, "get");
  for (let size = 1; size <= 100; size++) store.change(first, { size });
  await vi.waitFor(() => expect(readers[0]?.take(9)).toMatchObject([{ id: first, size: 100 }]));
  expect(get.mock.calls.length).toBeLessThan(5);
  expect(readers[1]?.take(9)).toMatchObject([{ id: second }, { id: first, size: 100 }]);
});

test("drops a reader that falls too far behind, which lists the jobs again", async () => {
  await using store = new MemoryStore();
  using feed = new JobFeed(store);
  const [slow, fast] = [feed.readJobs(() => true), feed.readJobs(() => true)];
  let seen = 0;
  for (let count = 0; count < 11; count++) {
    for (let index = 0; index < 100; index++) await store.add({ job: newJob() });
    await vi.waitFor(() => {
      seen += fast.take(1000).length;
      expect(seen).toBe((count + 1) * 100);
    });
  }
  expect([slow.isOver, fast.isOver]).toEqual([true, false]);
});

test("sends a job that changes while the store is unavailable later", async () => {
  await using store = new MemoryStore();
  using feed = new JobFeed(store, { retryDelay: 1 });
  const { id } = await runningJob(store, []);
  const reader = feed.readJobs(() => true);
  store.failure = new StoreUnavailable("gone");
  const get = vi.spyOn(store, "get");
  store.change(id, { state: "pushing" });
  await vi.waitFor(() => expect(get.mock.calls.length).toBeGreaterThan(2));
  store.failure = undefined;
  await vi.waitFor(() => expect(reader.take(9)).toMatchObject([{ id, state: "pushing" }]));
});

test("ends the readers on close", async () => {
  const server = testApp();
  const { id } = await runningJob(server.store, ["line 1"]);
  const port = await listenOnLoopback(server.app);
  const readers = [
    await openStream(port, "/api/v2/events"),
    await openStream(port, `/api/v2/builds/${id}/logs`),
    await openStream(port, `/api/v2/builds/${id}/logs?follow=true`, {}),
  ];
  await Promise.all(readers.map((reader) => reader.until(/\n/)));
  await server[Symbol.asyncDispose]();
  await Promise.allSettled(readers.map(({ ended }) => ended));
  expect(server.store.watchers).toBe(0);
});
