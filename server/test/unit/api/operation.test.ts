import { expect, test, vi } from "vitest";
import { Metrics } from "../../../src/api/metrics/metrics.ts";
import { StoreUnavailable, type WorkerReport } from "../../../src/store/job-store.ts";
import { MemoryStore } from "../../fixtures/memory-store.ts";
import { newJob, runningJob } from "../../fixtures/new-job.ts";
import { testAccess, testApp, testClient } from "../../fixtures/test-app.ts";

const WORKER: WorkerReport = {
  worker: "host.example.com:12",
  at: 1,
  engine: {
    address: "unix:///run/engine.sock",
    isReachable: true,
    version: "29.1.0",
    disk: { images: 1, cache: 2, volumes: 3, containers: 4 },
  },
  places: 2,
  running: ["0199c5f8-0000-7000-8000-000000000000"],
};
const UNREACHABLE: WorkerReport = {
  ...WORKER,
  worker: "host.example.com:13",
  engine: { address: "unix:///run/other.sock", isReachable: false, error: "nobody listens there" },
};
const CLIENTS = [
  testClient("ann", { scope: ["read"] }),
  testClient("ci", { scope: ["build"] }),
  testClient("root", { scope: ["admin"] }),
];

test("reports to everybody that the process lives", async () => {
  await using server = testApp({ access: testAccess(CLIENTS) });
  const answer = await server.app.inject("/healthz");
  expect([answer.statusCode, answer.json()]).toEqual([200, { status: "ok" }]);
});

test.each([
  { what: "no worker", reports: [], missing: "a worker" },
  { what: "no engine", reports: [UNREACHABLE], missing: "a worker that reaches its engine" },
  {
    what: "no store",
    reports: [WORKER],
    failure: new StoreUnavailable("redis.internal:6379"),
    missing: "the store of jobs",
  },
])("is not ready: $what", async ({ reports, failure, missing }) => {
  await using server = testApp({ access: testAccess(CLIENTS) });
  server.store.reports = reports;
  server.store.failure = failure;
  const answer = await server.app.inject("/readyz");
  expect(answer.statusCode).toBe(503);
  expect(answer.headers).toMatchObject({
    "content-type": expect.stringContaining("application/problem+json"),
    "retry-after": "5",
  });
  expect(answer.json()).toEqual({
    title: "Service Unavailable",
    status: 503,
    code: "not-ready",
    detail: `The server cannot run builds: ${missing} is missing.`,
  });
});

test("is ready with a store and a worker with an engine; caches the store's answer for frequent requests", async () => {
  await using server = testApp({ access: testAccess(CLIENTS) });
  server.store.reports = [UNREACHABLE, WORKER];
  const workers = vi.spyOn(server.store, "workers");
  for (let count = 0; count < 20; count++)
    expect((await server.app.inject("/readyz")).json()).toEqual({ status: "ok" });
  expect(workers.mock.calls.length).toBeLessThan(20);
});

test("lists workers with their engines; shows only the number of other owners' jobs", async () => {
  await using server = testApp({ access: testAccess(CLIENTS) });
  server.store.reports = [WORKER, UNREACHABLE];
  const list = async (authorization: string) =>
    server.app.inject({ url: "/api/v2/workers", headers: { authorization } });
  const { running, ...rest } = { ...WORKER, at: "1970-01-01T00:00:00.001Z" };
  const other = { worker: UNREACHABLE.worker, engine: UNREACHABLE.engine };
  expect((await list("ann")).json()).toEqual({
    workers: [
      { ...rest, running: 1 },
      { ...rest, ...other, running: 1 },
    ],
  });
  expect((await list("root")).json()).toMatchObject({ workers: [{ running: 1, jobs: running }, {}] });
  expect((await list("ci")).statusCode).toBe(403);
});

test("exports metrics: jobs of the store, work of this process, requests by route and never by address", async () => {
  await using store = new MemoryStore();
  const metrics = new Metrics(store);
  await using server = testApp({ access: testAccess(CLIENTS), metrics });
  await store.add({ job: newJob() });
  const { id } = await runningJob(store, []);
  store.reports = [WORKER, UNREACHABLE];
  const submitted = {
    method: "POST",
    url: "/api/v2/builds",
    payload: { name: "app", dockerfile: "FROM scratch" },
  } as const;
  const headers = { authorization: "ci", "idempotency-key": "one" };
  for (let time = 0; time < 2; time++)
    expect((await server.app.inject({ ...submitted, headers })).statusCode).toBe(202);
  metrics.jobEnded(store.jobOf(id)); // not counted, because it runs
  metrics.jobEnded({
    ...store.jobOf(id),
    state: "failed",
    reason: { code: "build-failed", message: "a step failed" },
    phases: { queue: 250, build: 2000 },
  });
  await server.app.inject(`/api/v2/builds/${id}/logs`);
  await server.app.inject({ url: `/api/v2/builds/${id}/logs`, headers: { authorization: "ann" } });
  await server.app.inject("/no/such/address");
  const answer = await server.app.inject({ url: "/metrics", headers: { authorization: "ann" } });
  expect(answer.headers["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/);
  const lines = answer.body.split("\n");
  expect(lines).toEqual(
    expect.arrayContaining([
      'docker_over_ssh_jobs{state="queued"} 1',
      'docker_over_ssh_jobs{state="running"} 1',
      'docker_over_ssh_jobs{state="timed_out"} 0',
      'docker_over_ssh_workers{engine="reachable"} 1',
      'docker_over_ssh_workers{engine="unreachable"} 1',
      "docker_over_ssh_store_up 1",
      "docker_over_ssh_jobs_accepted_total 1",
      'docker_over_ssh_jobs_finished_total{state="failed",reason="build-failed"} 1',
      'docker_over_ssh_job_phase_seconds_sum{phase="build"} 2',
      "docker_over_ssh_job_queue_seconds_sum 0.25",
      'docker_over_ssh_stream_readers{stream="log"} 0',
      'http_request_duration_seconds_count{method="GET",route="/api/v2/builds/:id/logs",status="401"} 1',
      'http_request_duration_seconds_count{method="GET",route="/api/v2/builds/:id/logs",status="404"} 1',
      'http_request_duration_seconds_count{method="",route="",status="404"} 1',
    ]),
  );
  expect(answer.body).toContain("process_resident_memory_bytes ");
  expect(answer.body).not.toContain(id);
  expect(answer.body).not.toContain("/no/such");
  // Prometheus' format: a sample, or a comment that describes a metric once
  for (const line of lines)
    expect(line).toMatch(/^(?:|# (?:HELP|TYPE) .+|[a-z_0-9]+(?:\{.*\})? (?:-?[0-9.e+-]+|Nan))$/);
  const types = lines.filter((line) => line.startsWith("# TYPE"));
  expect(new Set(types).size).toBe(types.length);
});

test("requires the scope for metrics, and exports them without the store", async () => {
  await using server = testApp({ access: testAccess(CLIENTS) });
  const read = async (authorization: string) => server.app.inject({ url: "/metrics", headers: { authorization } });
  expect([(await read("")).statusCode, (await read("ci")).statusCode]).toEqual([401, 403]);
  server.store.failure = new StoreUnavailable("gone");
  const { statusCode, body } = await read("root");
  expect(statusCode).toBe(200);
  expect(body).toContain("docker_over_ssh_store_up 0\n");
  expect(body).not.toContain('docker_over_ssh_jobs{state="queued"}');
});
