import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openFileStore, type FileStoreOptions } from "../../../src/store/files/file-store.ts";
import type { JobStore } from "../../../src/store/job-store.ts";
import { added, eventually, jobOf, newJob, TestWorker } from "../../fixtures/store-contract/bed.ts";

const credentials = { username: "me", password: "hunter2" };

let parent: string;
let folder: string;
const warnings: string[] = [];
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "full-disk-"));
  folder = join(parent, "data");
  warnings.length = 0;
});
afterEach(() => rmSync(parent, { recursive: true }));

const open = async (options: Partial<FileStoreOptions> = {}): Promise<JobStore> =>
  await openFileStore({
    folder,
    maxLog: 1e6,
    maxQueued: 100,
    retention: { age: 1e9, bytes: 1e9 },
    warn: (message) => void warnings.push(message),
    ...options,
  });

/** Each write to /dev/full fails like one to a full disk (full(4)). */
const fill = (path: string): void => symlinkSync("/dev/full", path);

describe.skipIf(process.platform !== "linux")("a full disk (/dev/full is Linux's)", () => {
  test("rejects a job that does not fit, without leftovers, and accepts the next one", async () => {
    let isFull = true;
    // Sealing is the third step from the end: the body and the record already exist.
    const seal = {
      seal: () => {
        if (isFull) throw Object.assign(new Error("write"), { code: "ENOSPC", syscall: "write" });
        return "sealed";
      },
      open: () => credentials,
    };
    await using store = await open({ seal });
    {
      await using body = await store.newBody();
      writeFileSync(body.path, "FROM scratch\n");
      const job = newJob({ body, credentials, maxQueued: 1, idempotency: { key: "1", fingerprint: "1" } });
      await expect(store.add(job)).rejects.toMatchObject({
        code: "no-space",
        message: `the disk of ${folder} is full`,
      });
      expect(await store.get(job.job.id)).toBeUndefined();
    }
    expect(readdirSync(join(folder, "incoming"))).toEqual([]);
    expect(readdirSync(join(folder, "jobs"))).toEqual([]);
    isFull = false;
    await added(store, { credentials, maxQueued: 1, idempotency: { key: "1", fingerprint: "1" } });
  });

  test("keeps a record that cannot be written complete, continues the job, and writes its end when space is free", async () => {
    await using store = await open();
    const { id } = await added(store);
    const record = join(folder, "jobs", id, "job.json");
    const before = readFileSync(record, "utf8");
    // A failed write removes its part, so this restores the full disk each time.
    const part = `${record}.new`;
    await using worker = new TestWorker(store);
    fill(part);
    const { claim, end } = await worker.run(0);
    expect(claim.job.state).toBe("running");
    expect(readFileSync(record, "utf8")).toBe(before);
    expect(warnings).toEqual([expect.stringContaining(`the record of job ${id}`)]);
    end();
    await eventually(async () => expect((await jobOf(store, id)).state).toBe("succeeded"));
    await eventually(() => expect(JSON.parse(readFileSync(record, "utf8")).job.state).toBe("succeeded"));
  });

  test("loses lines that cannot be written, reports this in the log, and continues it", async () => {
    await using store = await open();
    const { id } = await added(store);
    const log = join(folder, "jobs", id, "log");
    fill(log);
    await using worker = new TestWorker(store);
    const { claim, end } = await worker.run(0);
    claim.log(["one", "two"]);
    await eventually(() => expect(warnings).toEqual([expect.stringContaining(`the log of job ${id}`)]));
    expect(await store.readLog(id, { limit: 1000 })).toEqual({ lines: [], isLast: false });
    unlinkSync(log); // space is free again
    claim.log(["three"]);
    end();
    await eventually(async () => expect((await jobOf(store, id)).state).toBe("succeeded"));
    const { lines } = await store.readLog(id, { limit: 1000 });
    expect(lines.map(({ text }) => text)).toEqual([
      "[2 lines were lost because the disk of the server was full]",
      "three",
    ]);
    expect((await jobOf(store, id)).log).toMatchObject({ lines: 2, isCut: true });
  });
});
