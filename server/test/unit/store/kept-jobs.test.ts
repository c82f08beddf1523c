import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Job } from "../../../src/jobs/job.ts";
import type { Retention } from "../../../src/settings.ts";
import { openFileStore } from "../../../src/store/files/file-store.ts";
import type { Change, JobStore } from "../../../src/store/job-store.ts";
import { added, eventually, newJob } from "../../fixtures/store-contract/bed.ts";

const HOUR = 3_600_000;

let parent: string;
let folder: string;
let now: number;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "kept-jobs-"));
  folder = join(parent, "data");
  now = Date.now();
});
afterEach(() => rmSync(parent, { recursive: true }));

const open = async (retention: Retention): Promise<JobStore> =>
  await openFileStore({ folder, maxLog: 1e6, maxQueued: 100, retention, clock: { now: () => now } });

async function over(store: JobStore, fields?: Parameters<typeof newJob>[0]): Promise<Job> {
  const job = await added(store, fields);
  await store.cancel(job.id);
  return job;
}

test("removes jobs that are too old, with all their files; keeps queued ones and those with a due webhook", async () => {
  await using store = await open({ age: HOUR, bytes: 1e12 });
  const queued = await added(store);
  const webhook = await over(store, { webhookUrl: "https://hooks.example.com/1" });
  const old: Job[] = [];
  for (let count = 0; count < 12; count++)
    old.push(await over(store, { idempotency: { key: `${count}`, fingerprint: "" } }));
  const changes: Change[] = [];
  using _ = store.watch((change) => changes.push(change));
  now += 2 * HOUR;
  const recent = await over(store);
  await eventually(async () => expect(await store.counts()).toMatchObject({ queued: 1, cancelled: 11 }));
  for (const { id } of [queued, webhook, recent, ...old.slice(3)]) expect(await store.get(id)).toBeDefined();
  for (const { id } of old.slice(0, 3)) {
    expect(await store.get(id)).toBeUndefined();
    expect(existsSync(join(folder, "jobs", id))).toBe(false);
    await eventually(() => expect(changes).toContainEqual({ id, what: "job" }));
  }
  // Its key is forgotten with it.
  expect((await store.add(newJob({ idempotency: { key: "0", fingerprint: "" } }))).kind).toBe("added");
  expect((await store.add(newJob({ idempotency: { key: "11", fingerprint: "" } }))).kind).toBe("known");
});

test("removes the oldest while bodies, logs and records have too many bytes, even at the next start", async () => {
  const jobs: Job[] = [];
  {
    await using store = await open({ age: HOUR, bytes: 1e12 });
    for (let count = 0; count < 4; count++) {
      await using body = await store.newBody();
      writeFileSync(body.path, Buffer.alloc(100_000));
      jobs.push(await over(store, { body, job: { source: { kind: "archive", bytes: 100_000 } } }));
      now++;
    }
    expect(await store.counts()).toMatchObject({ cancelled: 4 });
  }
  await using store = await open({ age: HOUR, bytes: 250_000 });
  await eventually(async () => expect(await store.counts()).toMatchObject({ cancelled: 2 }));
  expect((await store.list({ limit: 10 })).jobs.map(({ id }) => id)).toEqual([jobs[3]?.id, jobs[2]?.id]);
});
