import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openFileStore, type FileStoreOptions } from "../../../src/store/files/file-store.ts";
import type { JobStore } from "../../../src/store/job-store.ts";
import { createSeal } from "../../../src/store/seal.ts";
import { added, eventually, jobOf, TestWorker } from "../../fixtures/store-contract/bed.ts";
import { newJob } from "../../fixtures/store-contract/new-job.ts";

const credentials = { username: "me", password: "hunter2-hunter2" };
const seal = createSeal(Buffer.alloc(32, 7));

let parent: string;
let folder: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "restart-"));
  folder = join(parent, "data");
});
afterEach(() => rmSync(parent, { recursive: true }));

const warnings: string[] = [];
async function open(options: Partial<FileStoreOptions> = {}): Promise<JobStore> {
  warnings.length = 0;
  const warn = (message: string): void => void warnings.push(message);
  return await openFileStore({
    folder,
    maxLog: 1000,
    maxQueued: 100,
    retention: { age: 1e9, bytes: 1e9 },
    warn,
    ...options,
  });
}

/** Copies the folder, in the state that a killed server leaves: later changes are not in the copy. */
function kill(): void {
  cpSync(folder, join(parent, "copy"), { recursive: true });
  folder = join(parent, "copy");
  rmSync(join(folder, "server.lock"), { recursive: true });
}

/** Returns all bytes in the folder */
function storedText(): string {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  return names
    .filter((name) => statSync(name).isFile())
    .map((name) => readFileSync(name, "latin1"))
    .join("\n");
}

test("runs a job first that ran when the server was killed, and shows why it waits", async () => {
  await using first = await open();
  const { id } = await added(first);
  const next = await added(first);
  await using worker = new TestWorker(first);
  const { claim } = await worker.run(0);
  await claim.update({ state: "pushing" });
  kill();
  await using store = await open();
  expect(await jobOf(store, id)).toMatchObject({ state: "queued", attempts: 1, reason: { code: "worker-lost" } });
  expect(await store.position(id)).toBe(0);
  expect(await store.position(next.id)).toBe(1);
});

test("fails a job whose server is killed for the third time", async () => {
  await using first = await open();
  const { id } = await added(first);
  const record = join(folder, "jobs", id, "job.json");
  const { job, ...rest } = JSON.parse(readFileSync(record, "utf8"));
  writeFileSync(record, JSON.stringify({ job: { ...job, state: "running", attempts: 3 }, ...rest }));
  kill();
  await using store = await open();
  const failed = await jobOf(store, id);
  expect(failed).toMatchObject({ state: "failed", attempts: 3, reason: { code: "worker-lost" } });
  expect(failed.finishedAt).toBeGreaterThanOrEqual(failed.acceptedAt);
  expect(await store.counts()).toMatchObject({ queued: 0, failed: 1 });
});

test("cancels a job that was being cancelled when the server was killed", async () => {
  await using first = await open();
  const { id } = await added(first);
  const stop = new AbortController();
  const worker = { worker: "w", engine: "e", places: 1, signal: stop.signal, isReady: async () => {} };
  let end = (): void => {};
  let runs = 0;
  const work = first.work(worker, async () => {
    runs++;
    await new Promise<void>((resolve) => (end = resolve)); // ignores the signal
    return { state: "succeeded" };
  });
  await eventually(() => expect(runs).toBe(1));
  await first.cancel(id);
  kill();
  await using store = await open();
  expect((await jobOf(store, id)).state).toBe("cancelled");
  stop.abort();
  end();
  await work;
});

test("removes an incomplete line at the end of a log, and continues after the complete ones", async () => {
  await using first = await open();
  const { id } = await added(first);
  await using worker = new TestWorker(first);
  (await worker.run(0)).claim.log(["one", "twö"]);
  await eventually(async () => expect((await jobOf(first, id)).log.lines).toBe(2));
  kill();
  appendFileSync(join(folder, "jobs", id, "log"), "half a li");
  await using store = await open();
  expect((await jobOf(store, id)).log).toEqual({ lines: 2, bytes: 9, isCut: false });
  await using other = new TestWorker(store);
  const { claim, end } = await other.run(0);
  claim.log(["three"]);
  end();
  await eventually(async () => expect((await jobOf(store, id)).state).toBe("succeeded"));
  expect((await store.readLog(id, { limit: 1000 })).lines.map(({ text }) => text)).toEqual(["one", "twö", "three"]);
});

test("keeps a cut log cut", async () => {
  await using first = await open();
  const { id } = await added(first);
  await using worker = new TestWorker(first);
  (await worker.run(0)).claim.log(Array.from({ length: 200 }, () => "0123456789"));
  await eventually(async () => expect((await jobOf(first, id)).log.isCut).toBe(true));
  kill();
  await using store = await open();
  expect((await jobOf(store, id)).log.isCut).toBe(true);
  await using other = new TestWorker(store);
  const { claim, end } = await other.run(0);
  claim.log(["more"]);
  end();
  await eventually(async () => expect((await jobOf(store, id)).state).toBe("succeeded"));
  expect((await jobOf(store, id)).log).toEqual((await jobOf(first, id)).log);
});

test("stores credentials in no file; after a restart, a job that needs them fails with a hint", async () => {
  await using first = await open();
  const { id } = await added(first, { credentials });
  const other = await added(first);
  expect(storedText()).not.toContain("hunter2");
  kill();
  await using store = await open();
  const { state, reason } = await jobOf(store, id);
  expect(state).toBe("failed");
  expect(reason).toMatchObject({ code: "credentials-lost", hint: expect.stringContaining("--key-file") as string });
  expect((await jobOf(store, other.id)).state).toBe("queued");
});

test("preserves credentials across a restart with a key, sealed, and removes them at the end of the job", async () => {
  await using first = await open({ seal });
  const { id } = await added(first, { credentials });
  expect(storedText()).not.toContain("hunter2");
  kill();
  await using store = await open({ seal });
  expect(existsSync(join(folder, "jobs", id, "credentials"))).toBe(true);
  await using worker = new TestWorker(store);
  const { claim, end } = await worker.run(0);
  expect(claim.credentials).toEqual(credentials);
  end();
  await eventually(async () => expect((await jobOf(store, id)).state).toBe("succeeded"));
  await eventually(() => expect(existsSync(join(folder, "jobs", id, "credentials"))).toBe(false));
});

test("loses credentials with another key", async () => {
  await using first = await open({ seal });
  const { id } = await added(first, { credentials });
  kill();
  await using store = await open({ seal: createSeal(Buffer.alloc(32, 8)) });
  expect((await jobOf(store, id)).reason).toMatchObject({ code: "credentials-lost" });
});

test("reports a damaged record, keeps it, and restores the others", async () => {
  await using first = await open();
  const [damaged, other] = [await added(first), await added(first)];
  kill();
  writeFileSync(join(folder, "jobs", damaged.id, "job.json"), '{"job":');
  await using store = await open();
  expect(warnings).toEqual([expect.stringContaining(damaged.id)]);
  expect((await store.list({ limit: 10 })).jobs.map(({ id }) => id)).toEqual([other.id]);
  expect(readdirSync(join(folder, "jobs")).toSorted()).toEqual([damaged.id, other.id]);
});

test("forgets an idempotency key after a day", async () => {
  let now = Date.now();
  await using store = await open({ clock: { now: () => now } });
  const idempotency = { key: "deploy-7", fingerprint: "abc" };
  const { id } = await added(store, { idempotency });
  now += 23 * 3600_000;
  expect(await store.add(newJob({ idempotency }))).toMatchObject({ kind: "known", job: { id } });
  now += 2 * 3600_000;
  expect((await added(store, { idempotency })).id).not.toBe(id);
});
