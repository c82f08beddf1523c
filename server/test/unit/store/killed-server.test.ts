import { once } from "node:events";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isOver, type Job } from "../../../src/jobs/job.ts";
import { openFileStore } from "../../../src/store/files/file-store.ts";
import type { JobStore } from "../../../src/store/job-store.ts";
import { eventually, jobOf } from "../../fixtures/store-contract/bed.ts";
import { LINES, runJob } from "../../fixtures/store-process.ts";

const KILLS = 10;
/** Maximum lines that a process prints before it is killed */
const MOST = 40;

let folder: string;
/** Bundles the program once, because it starts ten times as fast. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "killed-server-"));
  copyFileSync(join(import.meta.dirname, "../../../../package.json"), join(folder, "package.json")); // the core reads it
  await build({
    entryPoints: [join(import.meta.dirname, "../../fixtures/store-process.ts")],
    outfile: join(folder, "dist/store-process.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    logLevel: "error",
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Starts a server, kills it after `lines` lines, and returns its output. */
async function runAndKill(lines: number): Promise<string[]> {
  const child = spawn(process.execPath, [join(folder, "dist/store-process.mjs"), join(folder, "data")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const printed: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    printed.push(line);
    if (printed.length === lines) child.kill("SIGKILL");
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  expect(child.signalCode).toBe("SIGKILL");
  return printed;
}

async function textsOf(store: JobStore, id: string): Promise<string[]> {
  const { lines, isLast } = await store.readLog(id, { limit: 1e6 });
  expect(isLast).toBe(true);
  return lines.map(({ text }) => text);
}

/**
 * Checks that the log of a job has complete lines in order. A successful run has all of its lines; the previous run may
 * lack its last ones.
 */
function checkLog(texts: readonly string[], { attempts, state, log }: Job): void {
  expect(texts).toHaveLength(log.lines);
  let rest = texts;
  for (let run = 1; run <= attempts; run++) {
    const lines = rest.filter((text) => text.startsWith(`run ${run}: `));
    const isWhole = run === attempts && state === "succeeded";
    const count = isWhole ? LINES : lines.length;
    expect(rest.slice(0, count)).toEqual(Array.from({ length: count }, (_, line) => `run ${run}: line ${line}`));
    rest = rest.slice(count);
  }
  expect(rest).toEqual([]);
}

test("a server that is killed at any moment loses no accepted job, and each job ends once", async () => {
  const printed: string[] = [];
  for (let kill = 0; kill < KILLS; kill++) printed.push(...(await runAndKill(1 + Math.floor(Math.random() * MOST))));
  const accepted = printed.flatMap((line) => /^accepted (\S+)$/.exec(line)?.[1] ?? []);
  expect(accepted.length).toBeGreaterThan(KILLS);

  const data = join(folder, "data");
  await using store = await openFileStore({
    folder: join(folder, "data"),
    maxLog: 1e6,
    maxQueued: 1e6,
    retention: { age: 1e9, bytes: 1e12 },
  });
  expect(readdirSync(join(data, "incoming"))).toEqual([]);
  for (const id of accepted) await jobOf(store, id);
  for (const line of printed) {
    const [, id = "", state, finishedAt] = /^over (\S+) (\S+) (\d+)$/.exec(line) ?? [];
    if (id !== "") expect(await jobOf(store, id)).toMatchObject({ state, finishedAt: Number(finishedAt) });
  }

  const stop = new AbortController();
  const worker = { worker: "host:1", engine: "http://engine.example.com", places: 8, isReady: async () => {} };
  const work = store.work({ ...worker, signal: stop.signal }, runJob);
  await eventually(async () => expect(await store.counts()).toMatchObject({ queued: 0, running: 0, pushing: 0 }));
  stop.abort();
  await work;
  const { jobs } = await store.list({ limit: 1e6 });
  expect(readdirSync(join(data, "jobs")).toSorted()).toEqual(jobs.map(({ id }) => id).toSorted());
  for (const job of jobs) {
    expect(isOver(job)).toBe(true);
    if (job.state !== "succeeded")
      expect(job).toMatchObject({ state: "failed", attempts: 3, reason: { code: "worker-lost" } });
    expect(readFileSync((await store.bodyOf(job.id)) ?? "", "utf8")).toBe(job.id);
    checkLog(await textsOf(store, job.id), job);
  }
});
