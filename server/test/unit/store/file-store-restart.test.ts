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

/** Leaves the folder as a server leaves it that is killed: what it does afterwards is not in there. */
function kill(): void {
  cpSync(folder, join(parent, "copy"), { recursive: true });
  folder = join(parent, "copy");
  rmSync(join(folder, "server.lock"), { recursive: true });
}

/** All bytes in the folder */
function kept(): string {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  return names
    .filter((name) => statSync(name).isFile())
    .map((name) => readFileSync(name, "latin1"))
    .join("\n");
}

test("a job that ran when the server was killed comes first, and says why it waits", async () => {
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

test("a job whose server is killed for the third time has failed", async () => {
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

test("a job that was being cancelled when the server was killed is cancelled", async () => {
  await using first = await open();
  const { id } = await added(first);
  const stop = new AbortController();
  const worker = { worker: "w", engine: "e", places: 1, signal: stop.signal, isReady: async () => {} };
  let end = (): void => {};
  let runs = 0;
  const work = first.work(worker, async () => {
    runs++;
    await new Promise<void>((resolve) => (end = resolve)); // takes no notice of the signal
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

test("half a line at the end of a log goes, and the log continues behind the whole ones", async () => {
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

test("a log that was cut stays so", async () => {
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

test("credentials are in no file, and a job that needs them fails after a restart, and says what to do", async () => {
  await using first = await open();
  const { id } = await added(first, { credentials });
  const other = await added(first);
  expect(kept()).not.toContain("hunter2");
  kill();
  await using store = await open();
  const { state, reason } = await jobOf(store, id);
  expect(state).toBe("failed");
  expect(reason).toMatchObject({ code: "credentials-lost", hint: expect.stringContaining("--key-file") as string });
  expect((await jobOf(store, other.id)).state).toBe("queued");
});

test("with a key, credentials survive a restart, sealed; they go with the end of the job", async () => {
  await using first = await open({ seal });
  const { id } = await added(first, { credentials });
  expect(kept()).not.toContain("hunter2");
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

test("with another key, credentials are lost", async () => {
  await using first = await open({ seal });
  const { id } = await added(first, { credentials });
  kill();
  await using store = await open({ seal: createSeal(Buffer.alloc(32, 8)) });
  expect((await jobOf(store, id)).reason).toMatchObject({ code: "credentials-lost" });
});

test("a record that is damaged is told, stays, and is no obstacle for the others", async () => {
  await using first = await open();
  const [damaged, other] = [await added(first), await added(first)];
  kill();
  writeFileSync(join(folder, "jobs", damaged.id, "job.json"), '{"job":');
  await using store = await open();
  expect(warnings).toEqual([expect.stringContaining(damaged.id)]);
  expect((await store.list({ limit: 10 })).jobs.map(({ id }) => id)).toEqual([other.id]);
  expect(readdirSync(join(folder, "jobs")).toSorted()).toEqual([damaged.id, other.id]);
});

test("an idempotency key is forgotten after a day", async () => {
  let now = Date.now();
  await using store = await open({ clock: { now: () => now } });
  const idempotency = { key: "deploy-7", fingerprint: "abc" };
  const { id } = await added(store, { idempotency });
  now += 23 * 3600_000;
  expect(await store.add(newJob({ idempotency }))).toMatchObject({ kind: "known", job: { id } });
  now += 2 * 3600_000;
  expect((await added(store, { idempotency })).id).not.toBe(id);
});
