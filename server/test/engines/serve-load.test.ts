import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { why } from "../../../test/engines/bed.ts";
import { closedPort } from "../../../test/unit/engine/fake-engine.ts";
import { fastEngine, type FastEngine } from "../fixtures/fast-engine.ts";
import { incompleteLogs, runLoad, type LoadResult } from "../fixtures/load.ts";
import { startRedis } from "../fixtures/redis-server.ts";
import { startService, type Service } from "../fixtures/service.ts";

/** Enough for three kills in the middle; DOS_LOAD_JOBS=200 is the load of `npm run bench:serve`. */
const JOBS = Number(process.env["DOS_LOAD_JOBS"] ?? 60);
const LINES = 20;

let folder: string;
let engine: FastEngine;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "dos-load-"));
  engine = await fastEngine({ socket: join(folder, "engine.sock"), lines: LINES, ms: 300 });
});

afterEach(async () => {
  await engine[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/**
 * Returns the violations: each job must end once, with success, and with all lines of its last run, and no two jobs of
 * an image may build at the same time.
 */
function problems({ ended }: LoadResult): string[] {
  const found = ended.flatMap(({ id, state }) => (state === "succeeded" ? [] : [`${id} is ${state}`]));
  if (ended.length !== JOBS || new Set(ended.map(({ id }) => id)).size !== JOBS)
    found.push(`${ended.length} have ended`);
  if (engine.most.oneName !== 1) found.push("two jobs of an image were built at the same time");
  return [...found, ...incompleteLogs(ended, LINES).map(({ id }) => `the log of ${id} lacks lines`)];
}

/** Resolves when `count` more builds have begun. */
async function untilBuilds(count: number): Promise<void> {
  const begun = (): number => [...engine.builds.values()].reduce((sum, one) => sum + one, 0);
  const before = begun();
  while (begun() - before < count) await once(engine.began, "build");
}

describe.skipIf(why)(`a load of jobs ${why ?? ""}`, () => {
  test("in files: the server is killed three times, and each job ends once", async () => {
    const port = String(await closedPort());
    const options = ["--listen", port, "-H", engine.address, "--data", join(folder, "data"), "--jobs", "4"];
    const env = { HOME: folder, DOCKER_CONFIG: folder };
    let server = await startService(options, env);
    const load = runLoad({ url: () => `http://127.0.0.1:${port}`, jobs: JOBS, clients: 20, names: 12 });
    for (let kill = 0; kill < 3; kill += 1) {
      await untilBuilds(8);
      await server.end("SIGKILL");
      server = await startService(options, env);
    }
    expect(problems(await load)).toEqual([]);
    expect((await server.end("SIGTERM")).exitCode).toBe(0);
  });

  test("in Redis, with two workers: one is killed three times, Redis restarts, and each job ends once", async () => {
    await using redis = await startRedis(["appendfsync always"]);
    const shared = ["--data", join(folder, "data")];
    const env = { HOME: folder, DOCKER_CONFIG: folder, REDIS_URL: redis.url };
    const worker = async (): Promise<Service> =>
      await startService(["--role", "worker", "-H", engine.address, "--jobs", "2", ...shared], env);
    await using api = await startService(["--role", "api", "--listen", "0", ...shared], env);
    await using _ = await worker();
    let second = await worker();
    const load = runLoad({ url: () => api.url, jobs: JOBS, clients: 20, names: 12 });
    for (let kill = 0; kill < 3; kill += 1) {
      await untilBuilds(6);
      await second.end("SIGKILL");
      second = await worker();
      if (kill !== 1) continue;
      await redis.stop();
      await redis.start();
    }
    expect(problems(await load)).toEqual([]);
    await second.end("SIGTERM");
  });
});
