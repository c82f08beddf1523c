import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Claim, JobStore, Outcome, WorkerOptions } from "../../../src/store/job-store.ts";
import { openFileStore } from "../../../src/store/files/file-store.ts";
import { startWorker } from "../../../src/worker/worker.ts";
import { fastEngine, type FastEngine } from "../../fixtures/fast-engine.ts";
import { MemoryStore } from "../../fixtures/memory-store.ts";
import { newJob } from "../../fixtures/new-job.ts";
import { RunBed, type Given } from "../../fixtures/run-bed.ts";

let bed: RunBed;
let engine: FastEngine;
let folder: string;

beforeEach(async () => {
  bed = new RunBed();
  folder = mkdtempSync(join(tmpdir(), "worker-"));
  engine = await fastEngine({ socket: join(folder, "engine.sock"), lines: 2, ms: 10 });
});
afterEach(async () => {
  await engine[Symbol.asyncDispose]();
  bed[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** A store that gives a worker one job for each of its engines. */
class OneJobStore extends MemoryStore {
  readonly workersSeen: WorkerOptions[] = [];
  readonly outcomes: Outcome[] = [];
  readonly given: Given;

  constructor(given: Given) {
    super();
    this.given = given;
  }

  override async work(...[options, run]: Parameters<JobStore["work"]> | []): Promise<void> {
    if (options === undefined || run === undefined) throw new Error("work needs options");
    this.workersSeen.push(options);
    await options.isReady();
    this.outcomes.push(await run(this.claim()));
  }

  claim(): Claim {
    return bed.claim({ order: { push: false }, ...this.given });
  }
}

interface Started {
  store: OneJobStore;
  ended: unknown[];
}

async function start(given: Given, options: Partial<Parameters<typeof startWorker>[0]> = {}): Promise<Started> {
  const store = new OneJobStore(given);
  const ended: unknown[] = [];
  await startWorker({
    store,
    settings: {
      engines: [engine.address],
      places: 3,
      fetch: { maxBytes: 1, maxTime: 1, redirects: 0, allowedHosts: [] },
      build: { maxTime: 60_000, maxUnpacked: 1_000_000 },
    },
    env: { HOME: folder, XDG_CACHE_HOME: join(folder, "cache"), DOCKER_CONFIG: folder },
    fetchArchive: bed.fetchArchive,
    signal: new AbortController().signal,
    grace: 60_000,
    onEnded: ({ job, outcome, ms }) => void ended.push([job.id, outcome.state, typeof ms]),
    ...options,
  });
  return { store, ended };
}

test("runs a job on the engine, calls onEnded, and sends reports", async () => {
  const { store, ended } = await start({});
  expect(store.outcomes).toEqual([{ state: "succeeded" }]);
  expect(ended).toEqual([["018f6d5e-0000-7000-8000-000000000000", "succeeded", "number"]]);
  expect(bed.lines).toEqual(expect.arrayContaining(["line 1 of 2", "line 2 of 2"]));
  expect([...engine.images]).toEqual([]);
  expect(store.workersSeen).toMatchObject([{ engine: engine.address, places: 3 }]);
  await store[Symbol.asyncDispose]();
});

test("gives each engine a worker of its own", async () => {
  await using other = await fastEngine({ socket: join(folder, "other.sock"), lines: 1, ms: 1 });
  const settings = {
    engines: [engine.address, other.address],
    places: 1,
    fetch: { maxBytes: 1, maxTime: 1, redirects: 0, allowedHosts: [] },
    build: { maxTime: 60_000, maxUnpacked: 1_000_000 },
  };
  const { store } = await start({}, { settings });
  expect(new Set(store.workersSeen.map((seen) => seen.engine))).toEqual(new Set([engine.address, other.address]));
  expect(new Set(store.workersSeen.map((seen) => seen.worker)).size).toBe(2);
  expect([engine.builds.size, other.builds.size]).toEqual([1, 1]);
  await store[Symbol.asyncDispose]();
});

test("stops taking jobs on all engines when the store fails for one, and reports it", async () => {
  await using other = await fastEngine({ socket: join(folder, "other.sock"), lines: 1, ms: 1 });
  const store = new (class extends OneJobStore {
    override async work(...[options]: Parameters<JobStore["work"]> | []): Promise<void> {
      if (options?.engine === other.address) throw new Error("the store is broken");
      if (options?.signal.aborted === false)
        await new Promise((resolve) => options.signal.addEventListener("abort", resolve, { once: true }));
    }
  })({});
  const settings = {
    engines: [engine.address, other.address],
    places: 1,
    fetch: { maxBytes: 1, maxTime: 1, redirects: 0, allowedHosts: [] },
    build: { maxTime: 60_000, maxUnpacked: 1_000_000 },
  };
  await expect(start({}, { settings, store })).rejects.toThrow("the store is broken");
  await store[Symbol.asyncDispose]();
});

test("queues a job again that runs longer than the grace period when the server stops", async () => {
  const slow = await fastEngine({ socket: join(folder, "slow.sock"), lines: 60_000, ms: 60_000 });
  await using _ = slow;
  const stop = new AbortController();
  const settings = {
    engines: [slow.address],
    places: 1,
    fetch: { maxBytes: 1, maxTime: 1, redirects: 0, allowedHosts: [] },
    build: { maxTime: 60_000, maxUnpacked: 1_000_000 },
  };
  const working = start({}, { settings, signal: stop.signal, grace: 1 });
  await expect.poll(() => slow.builds.size).toBe(1);
  stop.abort();
  const { store } = await working;
  expect(store.outcomes).toMatchObject([{ state: "again", isFree: true, reason: { code: "server-stopped" } }]);
  await store[Symbol.asyncDispose]();
});

test("lets a job end within the grace period when the server stops, and takes no more", async () => {
  await using store = await openFileStore({
    folder: join(folder, "data"),
    maxLog: 1e6,
    maxQueued: 10,
    retention: { age: 1e9, bytes: 1e9 },
  });
  const add = async (name: string): Promise<string> => {
    const job = newJob({ name, fullName: `docker.io/library/${name}:latest` });
    await using body = await store.newBody();
    await writeFile(body.path, "FROM scratch\n");
    await store.add({ job: { ...job, order: { ...job.order, push: false } }, body });
    return job.id;
  };
  const [first, second] = [await add("first"), await add("second")];
  const stop = new AbortController();
  const working = startWorker({
    store,
    settings: {
      engines: [engine.address],
      places: 1,
      fetch: { maxBytes: 1, maxTime: 1, redirects: 0, allowedHosts: [] },
      build: { maxTime: 60_000, maxUnpacked: 1_000_000 },
    },
    env: { HOME: folder, XDG_CACHE_HOME: join(folder, "cache"), DOCKER_CONFIG: folder },
    signal: stop.signal,
    grace: 60_000,
  });
  await once(engine.began, "build");
  stop.abort();
  await working;
  expect(await store.get(first)).toMatchObject({ state: "succeeded" });
  expect(await store.get(second)).toMatchObject({ state: "queued", attempts: 0 });
  expect([...engine.builds.keys()]).toEqual(["first:latest"]);
});
