import type { Job, JobState } from "../../src/jobs/job.ts";
import type { MemoryStore } from "../fixtures/memory-store.ts";

const ESC = "\u001b";

let count = 0;

/** Returns an ID that sorts after the previous ones, like UUIDs of version 7. */
function nextId(): string {
  count += 1;
  return `01938b5e-7a00-7000-8000-${String(count).padStart(12, "0")}`;
}

/** Adds a job that was accepted `ago` ms ago, with the fields in `more`; returns its ID. */
export async function addJob(
  store: MemoryStore,
  name: string,
  more: Partial<Job> & { ago?: number } = {},
): Promise<string> {
  const { ago = 0, ...change } = more;
  const id = nextId();
  const order = { file: "Dockerfile", strip: 0, buildArgs: {}, labels: {}, noCache: false, pull: false, limits: {} };
  await store.add({
    job: {
      id,
      name,
      fullName: name,
      owner: "anonymous",
      source: { kind: "dockerfile", bytes: 312 },
      order: { ...order, push: true, purge: true },
    },
  });
  store.change(id, { acceptedAt: Date.now() - ago, ...change });
  return id;
}

/** Returns the fields of a job that began `ago` ms ago, and took `took` ms. */
export function ran(state: JobState, ago: number, took: number): Partial<Job> & { ago: number } {
  const startedAt = Date.now() - ago + 400;
  const publish = { push: took * 0.15, purge: took * 0.03 };
  return {
    ago,
    state,
    startedAt,
    attempts: 1,
    worker: "builder-1:4121",
    engine: "unix:///var/run/docker.sock",
    contextBytes: 1_204_113,
    phases: { queue: 400, context: took * 0.02, build: took * 0.8, ...(state === "succeeded" && publish) },
    ...(state !== "running" && state !== "pushing" && { finishedAt: startedAt + took }),
  };
}

/** The log of a build whose last step has begun. */
export const BEGUN: readonly string[] = [
  "#1 [internal] load build definition from Dockerfile",
  "#1 transferring dockerfile: 312 B done",
  "#1 DONE 0.0s",
  "",
  "#2 [internal] load metadata for docker.io/library/node:22-slim",
  "#2 DONE 0.8s",
  "",
  "#3 [1/5] FROM docker.io/library/node:22-slim@sha256:4f77a690f2f8",
  "#3 CACHED",
  "",
  "#4 [2/5] WORKDIR /app",
  "#4 DONE 0.1s",
  "",
  "#5 [3/5] COPY package.json package-lock.json ./",
  "#5 DONE 0.0s",
  "",
  "#6 [4/5] RUN npm ci",
  "#6 0.412 npm warn deprecated inflight@1.0.6: this module is not supported",
  `#6 5.104 ${ESC}[32madded 214 packages${ESC}[0m, and audited 215 packages in 4s`,
  `#6 5.105 ${ESC}[1m41 packages${ESC}[0m are looking for funding`,
  "#6 DONE 5.3s",
  "",
  "#7 [5/5] RUN npm test",
];

/** The output of its last step. */
export const TESTS: readonly string[] = [
  `#7 0.631 ${ESC}[1m${ESC}[36m RUN ${ESC}[39m${ESC}[22m ${ESC}[2m/app${ESC}[22m`,
  "#7 1.204 ",
  `#7 1.877 ${ESC}[32m✓${ESC}[39m test/names.test.ts ${ESC}[2m(14 tests)${ESC}[22m ${ESC}[33m212 ms${ESC}[39m`,
  `#7 2.040 ${ESC}[32m✓${ESC}[39m test/queue.test.ts ${ESC}[2m(31 tests)${ESC}[22m 98 ms`,
  `#7 2.311 ${ESC}[32m✓${ESC}[39m test/token.test.ts ${ESC}[2m(9 tests)${ESC}[22m 45 ms`,
];

/** The output of its failure. */
export const FAILURE: readonly string[] = [
  `#7 2.902 ${ESC}[31m❯${ESC}[39m test/store.test.ts ${ESC}[2m(12 tests | ${ESC}[22m${ESC}[31m1 failed${ESC}[39m${ESC}[2m)${ESC}[22m`,
  `#7 2.903   ${ESC}[31m× keeps a job that was accepted${ESC}[39m`,
  `#7 3.120 ${ESC}[41m${ESC}[1m FAIL ${ESC}[22m${ESC}[49m test/store.test.ts > keeps a job that was accepted`,
  `#7 3.121 ${ESC}[31m${ESC}[1mAssertionError${ESC}[22m: expected ${ESC}[38;5;208m'queued'${ESC}[39m to be ${ESC}[38;2;80;200;120m'running'${ESC}[39m`,
  '#7 ERROR: process "/bin/sh -c npm test" did not complete successfully: exit code: 1',
  "------",
  " > [5/5] RUN npm test:",
  "3.120  FAIL  test/store.test.ts > keeps a job that was accepted",
  "------",
  "Dockerfile:9",
  "--------------------",
  "   8 |     COPY . .",
  "   9 | >>> RUN npm test",
  "--------------------",
];
