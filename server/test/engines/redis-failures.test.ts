import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installPackages } from "../../../test/testbed/packages.ts";
import { projectFolder } from "../../../test/testbed/paths.ts";
import { StoreUnavailable, Stopped, type JobStore } from "../../src/store/job-store.ts";
import { redisBed, SHORT_TIMES, type RedisBed } from "../fixtures/redis-bed.ts";
import { REDIS_PASSWORD, startRedis, type RedisServer } from "../fixtures/redis-server.ts";
import type { WorkerSettings } from "../fixtures/redis-worker.ts";
import { added, eventually, jobOf, newJob, TestWorker } from "../fixtures/store-contract/bed.ts";

let server: RedisServer;
// In node_modules, because it imports packages from there.
const program = join(projectFolder, `node_modules/.cache/redis-worker-${process.pid}.mjs`);
beforeAll(async () => {
  await installPackages();
  server = await startRedis();
  const entry = join(import.meta.dirname, "../fixtures/redis-worker.ts");
  const output = { outfile: program, platform: "node", target: "node20", format: "esm" } as const;
  await build({ entryPoints: [entry], ...output, bundle: true, packages: "external" });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(program, { force: true });
});

/** Starts a worker in a separate process. Disposing kills it. */
function startWorker({ options }: RedisBed, settings: Partial<WorkerSettings> = {}) {
  const { url, data, prefix = "" } = options;
  const all: WorkerSettings = { url, data, prefix, times: SHORT_TIMES, places: 1, takes: 0, lines: 100, ...settings };
  const env = { REDIS_WORKER: JSON.stringify(all) };
  const child = execa(process.execPath, [program], { env, reject: false, stdin: "ignore", stderr: "inherit" });
  let printed = "";
  child.stdout.on("data", (text: Buffer) => (printed += text.toString()));
  return {
    printed: () => printed,
    kill: async (signal: NodeJS.Signals = "SIGKILL"): Promise<void> => {
      child.kill(signal);
      if (signal === "SIGKILL") await child;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child;
    },
  };
}

async function logOf(store: JobStore, id: string): Promise<string[]> {
  const { lines, isLast } = await store.readLog(id, { limit: 1e7 });
  expect(isLast).toBe(true);
  return lines.map(({ text }) => text);
}

const linesOf = (run: number, count = 100): string[] =>
  Array.from({ length: count }, (_, line) => `run ${run} line ${line}`);

async function succeeded(store: JobStore, id: string): Promise<void> {
  await eventually(async () => expect((await jobOf(store, id)).state).toBe("succeeded"));
}

test("runs a job whose worker is killed on another worker, which ends it once with its complete log", async () => {
  const bed = redisBed(server);
  await using store = await bed.open();
  const { id } = await added(store, { webhookUrl: "https://hooks.example.com/1" });
  await using first = startWorker(bed, { takes: null });
  await eventually(() => expect(first.printed()).toContain(`begun ${id} 1`));
  await using second = startWorker(bed, { takes: 50 });
  await first.kill();
  await succeeded(store, id);
  expect(second.printed()).toBe(`begun ${id} 2\n`);
  expect(await logOf(store, id)).toEqual([...linesOf(1), ...linesOf(2)]);
  expect(await jobOf(store, id)).toMatchObject({ attempts: 2, log: { lines: 200 } });
  expect(await store.counts()).toMatchObject({ succeeded: 1, running: 0, queued: 0 });
});

test("fails a job whose workers die three times, with the reason", async () => {
  const bed = redisBed(server);
  await using store = await bed.open();
  const { id } = await added(store);
  await using one = startWorker(bed, { takes: null });
  await using two = startWorker(bed, { takes: null });
  await using three = startWorker(bed, { takes: null });
  for (const run of [1, 2, 3]) {
    const worker = await eventually(() => {
      const found = [one, two, three].find(({ printed }) => printed() === `begun ${id} ${run}\n`);
      expect(found).toBeDefined();
      return found;
    });
    await worker?.kill();
  }
  await using _ = new TestWorker(store);
  await eventually(async () => expect((await jobOf(store, id)).state).toBe("failed"));
  expect(await jobOf(store, id)).toMatchObject({ attempts: 3, reason: { code: "worker-lost" } });
});

test("a worker that was away for longer than its lease detects that it has lost the job, and changes nothing", async () => {
  const bed = redisBed(server);
  await using store = await bed.open();
  const { id } = await added(store);
  await using away = startWorker(bed, { takes: 2000 });
  await eventually(() => expect(away.printed()).toContain(`begun ${id} 1`));
  await away.kill("SIGSTOP");
  await using here = new TestWorker(store);
  const { claim, end } = await here.run(0);
  expect(claim.job.attempts).toBe(2);
  await away.kill("SIGCONT");
  claim.log(["from the second run"]);
  // It takes the next job when it has detected that this one is lost.
  const next = await added(store);
  await eventually(() => expect(away.printed()).toContain(`begun ${next.id} 1`));
  expect(await jobOf(store, id)).toMatchObject({ state: "running", attempts: 2, worker: "worker-1:7" });
  end();
  await succeeded(store, id);
  expect(await logOf(store, id)).toEqual([...linesOf(1), "from the second run"]);
});

test("rejects writes of a run once another run owns the job, and stops the first run", async () => {
  const bed = redisBed(server);
  await using store = await bed.open();
  const { id } = await added(store);
  await using worker = new TestWorker(store);
  const { claim } = await worker.run(0);
  // As if this process had been stopped: another run has begun.
  const client = server.client();
  await client.hincrby(`${bed.options.prefix}:job:${id}`, "run", 1);
  client.disconnect();
  claim.log(["late"]);
  await expect(claim.update({ imageId: "sha256:late" })).rejects.toThrow(Stopped);
  await eventually(() => expect(claim.signal.reason).toMatchObject({ why: "lost" }));
  const job = await jobOf(store, id);
  expect(job.imageId).toBeUndefined();
  expect(job).toMatchObject({ state: "running", log: { lines: 0 } });
});

test("a restart of Redis in the middle loses nothing, and nothing runs twice", async () => {
  await using own = await startRedis();
  const bed = redisBed(own);
  await using store = await bed.open();
  const ids: string[] = [];
  for (let count = 0; count < 20; count++) ids.push((await added(store)).id);
  await using one = startWorker(bed, { places: 2, takes: 200 });
  await using two = startWorker(bed, { places: 2, takes: 200 });
  await eventually(() => expect(one.printed() + two.printed()).toContain("begun"));
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    await own.stop(signal);
    await own.start();
    await eventually(async () => expect((await store.counts()).queued).toBeGreaterThan(0)).catch(() => {});
  }
  await eventually(async () => expect(await store.counts()).toMatchObject({ succeeded: 20 }));
  for (const id of ids) expect(await logOf(store, id)).toEqual(linesOf((await jobOf(store, id)).attempts));
});

test("while Redis is unavailable, requests are rejected at once, runs continue, and their reports are written afterwards", async () => {
  await using own = await startRedis();
  const bed = redisBed(own);
  await using store = await bed.open();
  const { id } = await added(store);
  await using worker = new TestWorker(store);
  const run = await worker.run(0);
  run.claim.log(["before"]);
  await own.stop();
  await eventually(async () => await expect(store.get(id)).rejects.toThrow(StoreUnavailable));
  for (const ask of [
    async () => await store.add(newJob()),
    async () => await store.list({ limit: 1 }),
    async () => await store.cancel(id),
    async () => await store.counts(),
    async () => await store.counts("team"),
    async () => await store.position(id),
    async () => await store.readLog(id, { limit: 1 }),
    async () => await store.workers(),
    async () => await run.claim.update({ imageId: "sha256:1" }),
  ]) {
    await expect(ask()).rejects.toThrow(StoreUnavailable);
  }
  await expect(store.get(id)).rejects.not.toThrow(REDIS_PASSWORD);
  run.claim.log(["meanwhile"]);
  run.end();
  expect(run.claim.signal.aborted).toBe(false);
  await own.start();
  await succeeded(store, id);
  expect(await logOf(store, id)).toEqual(["before", "meanwhile"]);
  expect(await jobOf(store, id)).toMatchObject({ imageId: "sha256:1" }); // reported while Redis was unavailable
  const next = await added(store);
  expect((await worker.run(1)).claim.job.id).toBe(next.id);
});

test("a run keeps its job while Redis is unavailable for longer than the lease", async () => {
  await using own = await startRedis();
  const bed = redisBed(own);
  await using store = await bed.open();
  const { id } = await added(store);
  await using worker = new TestWorker(store, { places: 2 });
  const run = await worker.run(0);
  await own.stop();
  await new Promise((resolve) => setTimeout(resolve, SHORT_TIMES.lease * 1.5)); // the lease ends in the meantime
  await own.start();
  run.claim.log(["after"]);
  await eventually(async () => expect((await jobOf(store, id)).log.lines).toBe(1));
  run.end();
  await succeeded(store, id);
  expect(worker.runs).toHaveLength(1);
});

test("treats a Redis that hangs as unavailable", async () => {
  await using own = await startRedis();
  await using store = await redisBed(own).open();
  process.kill(own.pid(), "SIGSTOP");
  await expect(store.counts()).rejects.toThrow(StoreUnavailable);
  process.kill(own.pid(), "SIGCONT");
  await eventually(async () => expect(await store.counts()).toMatchObject({ queued: 0 }));
});

test("stores credentials in Redis only encrypted, and removes them when the job is over", async () => {
  await using own = await startRedis();
  const bed = redisBed(own);
  await using store = await bed.open();
  const password = "hunter2-is-secret";
  const { id } = await added(store, { credentials: { username: "robot-account", password } });
  await using worker = new TestWorker(store);
  const { claim, end } = await worker.run(0);
  expect(claim.credentials).toEqual({ username: "robot-account", password });
  const client = own.client();
  await client.save();
  expect(await client.hexists(`${bed.options.prefix}:job:${id}`, "sealed")).toBe(1);
  end();
  await succeeded(store, id);
  expect(await client.hexists(`${bed.options.prefix}:job:${id}`, "sealed")).toBe(0);
  expect((await jobOf(store, id)).hasCredentials).toBe(true);
  await client.save();
  client.disconnect();
  const files = readdirSync(own.folder, { recursive: true, encoding: "utf8" }).map((name) => join(own.folder, name));
  const all = files.filter((file) => statSync(file).isFile()).map((file) => readFileSync(file, "latin1"));
  expect(all.join("")).toContain(id);
  for (const secret of [password, "robot-account", Buffer.from(password).toString("base64")])
    expect(all.join("")).not.toContain(secret);
});

test("ignores foreign IDs in Redis, so that none names a file outside of the folder", async () => {
  const bed = redisBed(server);
  const { data, prefix = "" } = bed.options;
  const victim = join(data, "victim");
  await using store = await bed.open({ retention: { age: 3_600_000, bytes: 0 } });
  const job = await added(store, newJob());
  const redis = server.client();
  const id = "../victim";
  try {
    writeFileSync(victim, "mine");
    const record = await redis.hgetall(`${prefix}:job:${job.id}`);
    await redis.hset(`${prefix}:job:${id}`, { ...record, state: "failed", finishedAt: "1" });
    await redis.zadd(`${prefix}:over`, 1, id);
    // Removing one of the store's own jobs, because of a newer one, shows that the round has reached this point.
    const [old, newer] = [await added(store, newJob()), await added(store, newJob())];
    for (const { id: own } of [old, newer]) await store.cancel(own);
    await eventually(async () => expect(await store.get(old.id)).toBeUndefined());
    expect(readFileSync(victim, "utf8")).toBe("mine");
  } finally {
    redis.disconnect();
  }
});

test("rejects a folder of bodies that others may write to", async () => {
  const bed = redisBed(server);
  chmodSync(bed.options.data, 0o777);
  await expect(bed.open()).rejects.toThrow("others may write");
});
