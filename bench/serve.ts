/**
 * Measures the build service: `npm run bench:serve`. Runs 200 jobs of 20 clients, with the store in files and in Redis. Measures the times of answers
 * to `GET /api/v2/builds/:id` under this load, the time from a request to the first line of the log on an idle server, and the memory of the server
 * with 1,000 readers of a log. The engine is a stand-in whose builds take a given time.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fastEngine } from "../server/test/fixtures/fast-engine.ts";
import { incompleteLogs, percentile, runLoad } from "../server/test/fixtures/load.ts";
import { startRedis } from "../server/test/fixtures/redis-server.ts";
import { startService, type Service } from "../server/test/fixtures/service.ts";
import { installPackages } from "../test/testbed/packages.ts";
import { median } from "./statistics.ts";

const { values: options } = parseArgs({
  options: {
    jobs: { type: "string", default: "200" },
    clients: { type: "string", default: "20" },
    readers: { type: "string", default: "1000" },
  },
});

const LINES = 20;
/** ms that a build takes */
const BUILD = 500;
/** Jobs that are submitted one after the other, to measure the time to the first line */
const IDLE_JOBS = 10;

interface Bed {
  /** The server that accepts requests */
  api: Service;
  close(this: void): Promise<void>;
}

async function inFiles(folder: string, engine: string): Promise<Bed> {
  const data = join(folder, "files");
  const api = await startService(["--listen", "0", "-H", engine, "--jobs", "4", "--data", data], { HOME: folder });
  return { api, close: async () => void (await api.end("SIGTERM")) };
}

/** Starts a server and two workers. */
async function inRedis(folder: string, engine: string): Promise<Bed> {
  await installPackages();
  const redis = await startRedis(["appendfsync everysec"]);
  const shared = ["--data", join(folder, "redis")];
  const env = { HOME: folder, REDIS_URL: redis.url };
  const api = await startService(["--role", "api", "--listen", "0", ...shared], env);
  const worker = async () => await startService(["--role", "worker", "-H", engine, "--jobs", "2", ...shared], env);
  const workers = [await worker(), await worker()];
  return {
    api,
    async close() {
      for (const service of [...workers, api]) await service.end("SIGTERM");
      await redis[Symbol.asyncDispose]();
    },
  };
}

/** Returns the ms from the request to the arrival of the first line of the log. */
async function firstLine(url: string, name: string): Promise<number> {
  const begun = performance.now();
  const answer = await fetch(`${url}/api/v2/builds`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name, dockerfile: "FROM scratch\nCOPY Dockerfile /\n" }),
  });
  const { id } = (await answer.json()) as { id: string };
  const log = await fetch(`${url}/api/v2/builds/${id}/logs?follow=true`, { headers: { accept: "text/plain" } });
  let first: number | undefined;
  for await (const _ of log.body ?? []) first ??= performance.now() - begun;
  return first ?? NaN;
}

/** Returns the resident MB of the server, before and with this number of readers of the log of a finished job and of a running job. */
async function memory(api: Service, readers: number): Promise<{ before: number; after: number }> {
  const answer = await fetch(`${api.url}/api/v2/builds?limit=1`);
  const { builds } = (await answer.json()) as { builds: { id: string }[] };
  const before = residentMB(api.pid);
  const sockets = await Promise.all(
    Array.from({ length: readers }, async (_, index) => {
      const path = index % 2 === 0 ? "/api/v2/events" : `/api/v2/builds/${builds[0]?.id}/logs`;
      const stream = request(`${api.url}${path}`, { headers: { accept: "text/event-stream" }, agent: false });
      stream.on("error", () => {});
      await new Promise<void>((resolve) => stream.on("response", (response) => (response.resume(), resolve())).end());
      return stream;
    }),
  );
  const after = residentMB(api.pid);
  for (const socket of sockets) socket.destroy();
  return { before, after };
}

function residentMB(pid: number): number {
  const kB = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kB) / 1024;
}

const folder = mkdtempSync(join(tmpdir(), "dos-bench-serve-"));
const engine = await fastEngine({ socket: join(folder, "engine.sock"), lines: LINES, ms: BUILD });
try {
  for (const [store, open] of [["files", inFiles] as const, ["Redis", inRedis] as const]) {
    const { api, close } = await open(folder, engine.address);
    const first: number[] = [];
    for (let job = 0; job < IDLE_JOBS; job += 1) first.push(await firstLine(api.url, `idle-${job}`));
    const begun = performance.now();
    const { jobs, clients } = { jobs: Number(options.jobs), clients: Number(options.clients) };
    const { ended, statusTimes } = await runLoad({ url: () => api.url, jobs, clients, names: 40 });
    const seconds = (performance.now() - begun) / 1000;
    const wrong = ended.filter(({ state }) => state !== "succeeded").length + incompleteLogs(ended, LINES).length;
    const { before, after } = await memory(api, Number(options.readers));
    console.log(`${store}: first line after ${Math.round(median(first))} ms (median of ${IDLE_JOBS})
  ${jobs} jobs of ${clients} clients in ${seconds.toFixed(1)} s, ${wrong} wrong
  status: median ${percentile(statusTimes, 0.5).toFixed(1)} ms, p99 ${percentile(statusTimes, 0.99).toFixed(1)} ms, of ${statusTimes.length}
  memory: ${Math.round(before)} MB, with ${options.readers} readers ${Math.round(after)} MB`);
    await close();
  }
} finally {
  await engine[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}
