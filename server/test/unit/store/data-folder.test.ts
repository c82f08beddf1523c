import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { newRunId } from "docker-over-ssh/builds";
import { openFileStore } from "../../../src/store/files/file-store.ts";
import { StoreUnavailable, type JobStore } from "../../../src/store/job-store.ts";
import { added, eventually, jobOf, newJob, TestWorker } from "../../fixtures/store-contract/bed.ts";

let parent: string;
let folder: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "data-folder-"));
  folder = join(parent, "deep/data");
});
afterEach(() => rmSync(parent, { recursive: true }));

const open = async (): Promise<JobStore> =>
  await openFileStore({ folder, maxLog: 1e6, maxQueued: 100, retention: { age: 1e9, bytes: 1e9 } });

test("rejects a second server with the folder at once, until the first one ends", async () => {
  {
    await using _ = await open();
    await expect(open()).rejects.toMatchObject({ code: "refused", message: `another server uses ${folder}` });
  }
  await using _ = await open();
});

test("takes over the folder of a killed server at once", async () => {
  {
    await using _ = await open();
  }
  mkdirSync(join(folder, "server.lock"));
  writeFileSync(join(folder, "server.lock", newRunId(999_999_999)), "");
  await using store = await open();
  expect(await added(store)).toMatchObject({ state: "queued" });
});

test("a server that has lost its folder, because it was stopped for a long time, writes nothing to it, and its runs are lost", async () => {
  await using store = await open();
  const { id } = await added(store);
  await using worker = new TestWorker(store);
  const { claim } = await worker.run(0);
  const before = readFileSync(join(folder, "jobs", id, "job.json"), "utf8");
  claim.log(["first"]);
  await eventually(async () => expect((await jobOf(store, id)).log.lines).toBe(1));
  rmSync(join(folder, "server.lock"), { recursive: true });
  await eventually(() => expect(claim.signal.reason).toMatchObject({ why: "lost" }));
  claim.log(["second"]);
  await expect(store.get(id)).rejects.toBeInstanceOf(StoreUnavailable);
  await worker[Symbol.asyncDispose]();
  expect(readFileSync(join(folder, "jobs", id, "job.json"), "utf8")).toBe(before);
  expect(readFileSync(join(folder, "jobs", id, "log"), "utf8")).toBe("first\n");
});

test.each(["../../x", "a", "", "01890000-0000-7000-8000-00000000000/"])("rejects a job with the ID %j", async (id) => {
  await using store = await open();
  await expect(store.add(newJob({ job: { id } }))).rejects.toThrow("UUID");
});

test("stores everything for this user alone", async () => {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  chmodSync(folder, 0o755); // the mode with systemd and volumes of containers
  await using store = await open();
  await using body = await store.newBody();
  await added(store, { body, job: { source: { kind: "archive", bytes: 0 } } });
  await using worker = new TestWorker(store);
  (await worker.run(0)).claim.log(["a line"]);
  await expect.poll(() => readdirSync(folder, { recursive: true })).toContainEqual(expect.stringMatching(/log$/));
  const others = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => !name.startsWith("server.lock"))
    .map((name) => [name, statSync(join(folder, name)).mode & 0o077] as const);
  expect(others.length).toBeGreaterThan(6);
  for (const [name, mode] of others) expect([name, mode]).toEqual([name, 0]);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
});

test("rejects a folder that others could write to, unless it is empty", async () => {
  mkdirSync(join(folder, "jobs"), { recursive: true });
  chmodSync(folder, 0o777);
  await expect(open()).rejects.toMatchObject({ code: "refused", message: expect.stringContaining("others may write") });
  rmSync(join(folder, "jobs"), { recursive: true });
  await using _ = await open();
  expect(statSync(folder).mode & 0o777).toBe(0o700);
});

test("rejects a folder with other files, and changes nothing in it", async () => {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, "thesis.txt"), "");
  await expect(open()).rejects.toMatchObject({ code: "refused", message: `${folder} has other files: thesis.txt` });
  expect(readdirSync(folder)).toEqual(["thesis.txt"]);
  expect(statSync(folder).mode & 0o777).toBe(0o755);
});

test("rejects a folder that cannot be created", async () => {
  writeFileSync(join(parent, "deep"), "");
  await expect(open()).rejects.toMatchObject({
    code: "refused",
    message: expect.stringContaining("ENOTDIR") as string,
  });
});

test("rejects a folder of another version, and leaves it unchanged", async () => {
  mkdirSync(join(folder, "incoming"), { recursive: true });
  writeFileSync(join(folder, "version"), "2\n");
  writeFileSync(join(folder, "incoming/something"), "");
  await expect(open()).rejects.toMatchObject({
    code: "refused",
    message: expect.stringContaining("version 2") as string,
  });
  expect(readdirSync(folder).toSorted()).toEqual(["incoming", "version"]);
  expect(readdirSync(join(folder, "incoming"))).toEqual(["something"]);
});

test("accepts the leftovers of a server that was killed at its first start, and files that have not become jobs", async () => {
  mkdirSync(join(folder, "incoming/half"), { recursive: true });
  mkdirSync(join(folder, "lost+found"));
  writeFileSync(join(folder, "incoming/half/job.json"), "{");
  writeFileSync(join(folder, "incoming/1.body"), "half a b");
  writeFileSync(join(folder, "version.new"), "");
  await using store = await open();
  expect(readdirSync(join(folder, "incoming"))).toEqual([]);
  expect(readFileSync(join(folder, "version"), "utf8")).toBe("1\n");
  expect(await store.list({ limit: 10 })).toEqual({ jobs: [] });
});

test("reports that a store is closed", async () => {
  const store = await open();
  await store[Symbol.asyncDispose]();
  await expect(store.list({ limit: 10 })).rejects.toThrow("closed");
});
