import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installPackages } from "../../../test/testbed/packages.ts";
import { until } from "../../../test/testbed/wait.ts";
import type { Claim, JobStore } from "../../src/store/job-store.ts";
import { openRedisStore } from "../../src/store/redis/open-redis-store.ts";
import { createSeal } from "../../src/store/seal.ts";
import { redisBed, type RedisBed } from "../fixtures/redis-bed.ts";
import { REDIS_PASSWORD, startRedis, type RedisServer } from "../fixtures/redis-server.ts";
import { added, eventually, jobOf, newJob, TestWorker } from "../fixtures/store-contract/bed.ts";

let server: RedisServer;
beforeAll(async () => {
  await installPackages();
  server = await startRedis();
});
afterAll(async () => await server[Symbol.asyncDispose]());

/** Runs commands with a separate client. */
async function redis<T>(commands: (client: ReturnType<RedisServer["client"]>) => Promise<T>): Promise<T> {
  const client = server.client();
  try {
    return await commands(client);
  } finally {
    client.disconnect();
  }
}

async function isOver(store: JobStore, id: string, state: string): Promise<void> {
  await eventually(async () => expect((await jobOf(store, id)).state).toBe(state));
}

/** Adds a job whose body is the text of a Dockerfile. */
async function addedWithBody(store: JobStore, text: string): Promise<string> {
  await using body = await store.newBody();
  writeFileSync(body.path, text);
  return (await added(store, { body, job: { source: { kind: "dockerfile", bytes: text.length } } })).id;
}

const keyOf = ({ options }: RedisBed, ...parts: string[]): string => [options.prefix, ...parts].join(":");

test("another server than the one that runs a job can cancel it, and is notified of its changes", async () => {
  const bed = redisBed(server);
  await using here = await bed.open();
  await using there = await bed.open();
  const changes: string[] = [];
  using _ = here.watch(({ id, what }) => changes.push(`${what} ${id}`));
  const { id } = await added(here);
  await using worker = new TestWorker(there);
  const { claim } = await worker.run(0);
  claim.log(["a line"]);
  await eventually(() => expect(changes).toContain(`log ${id}`));
  await here.cancel(id);
  await isOver(here, id, "cancelled");
  expect(claim.signal.reason).toMatchObject({ why: "cancelled" });
});

test("a worker that missed the message detects from the record that its job is cancelled", async () => {
  const bed = redisBed(server);
  await using store = await bed.open();
  const { id } = await added(store);
  await using worker = new TestWorker(store);
  const { claim } = await worker.run(0);
  await redis((client) => client.hset(keyOf(bed, "job", id), "cancelledAt", Date.now()));
  await isOver(store, id, "cancelled");
  expect(claim.signal.reason).toMatchObject({ why: "cancelled" });
});

test("a server that has lost its subscription reports the changes of that time", async () => {
  const bed = redisBed(server);
  await using store = await bed.open();
  const changes = new Set<string>();
  const { id } = await added(store);
  await using worker = new TestWorker(store);
  const { claim } = await worker.run(0);
  using _ = store.watch(({ id, what }) => changes.add(`${what} ${id}`));
  await redis((client) => client.call("CLIENT", "KILL", "TYPE", "pubsub"));
  await eventually(() => expect([...changes].toSorted()).toEqual([`job ${id}`, `log ${id}`]));
  expect(claim.signal.aborted).toBe(false);
});

test("workers of several servers never build one name at the same time, and all jobs end", async () => {
  const bed = redisBed(server);
  await using one = await bed.open();
  await using two = await bed.open();
  const stop = new AbortController();
  const building = new Map<string, number>();
  let highest = 0;
  const run = async ({ job }: Claim): Promise<{ state: "succeeded" }> => {
    const count = (building.get(job.fullName) ?? 0) + 1;
    building.set(job.fullName, count);
    highest = Math.max(highest, count);
    await wait(10);
    building.set(job.fullName, (building.get(job.fullName) ?? 0) - 1);
    return { state: "succeeded" };
  };
  const names = ["a", "b", "c"].map((name) => `registry.example.com/${name}:v1`);
  for (let count = 0; count < 30; count++) {
    await added(one, { job: { fullName: names[count % 3] ?? "", owner: `team-${count % 4}` }, maxRunning: 2 });
  }
  const worker = { engine: "http://engine.example.com", places: 3, signal: stop.signal, isReady: async () => {} };
  const work = [one, two].map(async (store, index) => await store.work({ ...worker, worker: `w:${index}` }, run));
  await eventually(async () => expect(await one.counts()).toMatchObject({ succeeded: 30 }));
  stop.abort();
  await Promise.all(work);
  expect(highest).toBe(1);
});

test("queues a job whose server was killed before it queued the job", async () => {
  const bed = redisBed(server);
  await using store = await bed.open();
  const { id } = await added(store);
  await redis(async (client) => {
    await client.zrem(keyOf(bed, "bull:builds:prioritized"), id);
    expect(await client.del(keyOf(bed, "bull:builds", id))).toBe(1);
  });
  await using worker = new TestWorker(store);
  (await worker.run(0)).end();
  await isOver(store, id, "succeeded");
});

test("fails a job without its body, with the reason", async () => {
  const bed = redisBed(server);
  await using store = await bed.open();
  const id = await addedWithBody(store, "FROM scratch\n");
  rmSync(join(bed.options.data, "bodies", id));
  await using _ = new TestWorker(store);
  await isOver(store, id, "failed");
  expect((await jobOf(store, id)).reason).toMatchObject({ code: "body-missing", hint: "Submit the build again." });
});

test("a worker that does not share the folder refuses to start", async () => {
  const bed = redisBed(server);
  await using store = await bed.open();
  const other = join(server.folder, "not-shared");
  mkdirSync(other);
  const key = keyOf(bed, "folder");
  await expect(bed.open({ data: other })).rejects.toMatchObject({
    code: "usage",
    hint: expect.stringContaining(`redis-cli DEL ${key}`),
  });
  writeFileSync(join(other, "store-id"), "of another Redis\n");
  await expect(bed.open({ data: other })).rejects.toThrow("is not the one that the other servers of this Redis use");
  await redis((client) => client.del(key));
  await using again = await bed.open({ data: other });
  expect(await again.counts()).toEqual(await store.counts());
});

test("a server without Redis, or with a wrong password, reports it at its start, without the password", async () => {
  const bed = redisBed(server);
  const gone = bed.open({ url: server.url.replace(`:${server.port}`, ":1"), patience: 300 });
  await expect(gone).rejects.toMatchObject({
    message: expect.stringContaining("redis://127.0.0.1:1/0 does not answer"),
    hint: expect.any(String),
  });
  const wrong = bed.open({ url: `redis://:wrong-word@127.0.0.1:${server.port}` });
  await expect(wrong).rejects.toMatchObject({ code: "usage", message: expect.not.stringContaining("wrong-word") });
  for (const url of ["http://example.com", "redis://", "redis://h/name", `redis://:${REDIS_PASSWORD}/x@:99999`]) {
    const error = await openRedisStore({ ...bed.options, url }).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: "usage" });
    expect(JSON.stringify(error) + String(error)).not.toContain(REDIS_PASSWORD);
  }
});

test("prints a warning for a Redis that may evict jobs", async () => {
  await using forgetful = await startRedis(["appendonly no", "maxmemory 100mb", "maxmemory-policy allkeys-lru"]);
  const warnings: string[] = [];
  await using store = await redisBed(forgetful).open({ warn: (message) => warnings.push(message) });
  expect(warnings).toEqual([
    expect.stringContaining("set maxmemory-policy noeviction"),
    expect.stringContaining("set appendonly yes"),
  ]);
  expect(await store.counts()).toMatchObject({ queued: 0 });
});

test("a Redis whose memory is full accepts no job, and the error reports it", async () => {
  await using full = await startRedis();
  await using store = await redisBed(full).open();
  const { id } = await added(store);
  await using worker = new TestWorker(store);
  const run = await worker.run(0);
  const client = full.client();
  await client.config("SET", "maxmemory", "1");
  client.disconnect();
  await using body = await store.newBody();
  const source = { kind: "dockerfile", bytes: 0 } as const;
  await expect(store.add(newJob({ body, job: { source } }))).rejects.toMatchObject({ code: "no-space" });
  expect(existsSync(body.path)).toBe(true); // its owner removes it
  // A running job can end, which frees memory, without the lines that do not fit.
  run.claim.log(["a line"]);
  run.end();
  await isOver(store, id, "succeeded");
});

const credentials = { username: "me", password: "hunter2" };

test("loses credentials with another key", async () => {
  const bed = redisBed(server);
  await using store = await bed.open();
  await using other = await bed.open({ seal: createSeal(Buffer.alloc(32, 9)) });
  await using _ = new TestWorker(other);
  const { id } = await added(store, { credentials });
  await isOver(store, id, "failed");
  expect((await jobOf(store, id)).reason).toMatchObject({ code: "credentials-lost" });
});

test("servers and workers without a key of their own share one in their folder: jobs have credentials, and Redis has them encrypted", async () => {
  const bed = redisBed(server);
  await using api = await bed.open({ seal: undefined });
  await using other = await bed.open({ seal: undefined });
  const { id } = await added(api, { credentials });
  expect(JSON.stringify(await redis(async (client) => await client.hgetall(keyOf(bed, "job", id))))).not.toContain(
    credentials.password,
  );
  expect(statSync(join(bed.options.data, "key")).mode & 0o777).toBe(0o600);
  await using worker = new TestWorker(other);
  const run = await worker.run(0);
  expect(run.claim.credentials).toEqual(credentials);
  run.end();
  await isOver(api, id, "succeeded");
});

test("a server that only accepts jobs has two connections", async () => {
  await using own = await startRedis();
  await using store = await redisBed(own).open();
  await added(store);
  const client = own.client();
  const all = String(await client.client("LIST")).match(/name=docker-over-ssh/g);
  client.disconnect();
  expect(all).toHaveLength(2);
});

test("removes old jobs, with their logs and bodies", async () => {
  const bed = redisBed(server);
  await using store = await bed.open({ retention: { age: 3_600_000, bytes: 20_000 } });
  const id = await addedWithBody(store, "FROM scratch\n");
  await using worker = new TestWorker(store);
  const run = await worker.run(0);
  run.claim.log(["a line"]);
  run.end();
  await isOver(store, id, "succeeded");
  expect(existsSync(join(bed.options.data, "bodies", id))).toBe(true);
  for (let count = 0; count < 3; count++) await store.cancel((await added(store)).id);
  await eventually(async () => expect(await store.get(id)).toBeUndefined());
  await eventually(() => expect(existsSync(join(bed.options.data, "bodies", id))).toBe(false));
  expect(await redis((client) => client.keys(`${bed.options.prefix}*${id}*`))).toEqual([]);
  expect(await store.counts()).toMatchObject({ succeeded: 0 });
  expect(await store.readLog(id, { limit: 100 })).toEqual({ lines: [], isLast: true });
});

test("reads a log that is stored elsewhere when Redis no longer has it", async () => {
  const bed = redisBed(server);
  const keepLogs = join(bed.options.data, "kept");
  await using store = await bed.open({ keepLogs });
  const { id } = await added(store);
  await using worker = new TestWorker(store);
  const { claim, end } = await worker.run(0);
  const texts = Array.from({ length: 300 }, (_, index) => `zeile ${index} ü`);
  claim.log(texts);
  end();
  await until("the log is kept", () => existsSync(join(keepLogs, `${id}.log`)));
  expect(readFileSync(join(keepLogs, `${id}.log`), "utf8")).toBe(`${texts.join("\n")}\n`);
  await redis((client) => client.del(keyOf(bed, "log", id)));
  const lines: string[] = [];
  for (let after: string | undefined; ;) {
    const piece = await store.readLog(id, { limit: 1000, after });
    lines.push(...piece.lines.map(({ text }) => text));
    after = piece.lines.at(-1)?.id;
    if (piece.isLast) break;
  }
  expect(lines).toEqual(texts);
});
