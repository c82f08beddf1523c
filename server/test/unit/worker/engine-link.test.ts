import { createServer } from "node:http";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  answer,
  fakeEngine,
  rejection,
  temporaryFolder,
  type Route,
} from "../../../../test/unit/engine/fake-engine.ts";
import type { WorkerReport } from "../../../src/store/job-store.ts";
import { EngineLink } from "../../../src/worker/engine-link.ts";
import { reportEvery } from "../../../src/worker/report.ts";

const json =
  (body: object): Route =>
  (_request, response) =>
    answer(response, 200, body);
const ROUTES = {
  "GET /version": json({ Version: "28.5.2", Os: "linux", Arch: "amd64" }),
  "GET /info": json({}),
  "GET /system/df": json({
    LayersSize: 1_000,
    Images: [{ Size: 900, SharedSize: -1 }],
    Containers: [{ SizeRw: 5 }, {}],
    Volumes: [{ UsageData: { Size: 30 } }, { UsageData: { Size: -1 } }, { UsageData: null }],
    BuildCache: [
      { Size: 200, Shared: false },
      { Size: 4_000, Shared: true },
    ],
  }),
};
const never = new AbortController().signal;

test.each([
  [undefined, { DOCKER_HOST: "http://127.0.0.1:4567" }, "http://127.0.0.1:4567"],
  [undefined, { DOCKER_HOST: "unix:///a.sock" }, "unix:///a.sock"],
  ["tcp://build.example.com", { DOCKER_HOST: "unix:///a.sock" }, "tcp://build.example.com:2375"],
  [undefined, {}, "http://127.0.0.1:4243"],
])("resolves engine %s with %s to %s, without a default socket", async (host, env, address) => {
  await using folder = await temporaryFolder();
  await using link = await EngineLink.prepare(host, { ...env, DOCKER_CONFIG: folder.path }, () => false);
  expect(link.address).toBe(address);
});

test("uses an engine at the default socket without any name", async () => {
  await using folder = await temporaryFolder();
  await using link = await EngineLink.prepare(undefined, { DOCKER_CONFIG: folder.path }, () => true);
  expect(link.address).toBe("unix:///var/run/docker.sock");
});

test("fails at once for a docker context that does not exist", async () => {
  await using folder = await temporaryFolder();
  const env = { DOCKER_CONFIG: folder.path, DOCKER_CONTEXT: "nowhere" };
  await expect(EngineLink.prepare(undefined, env)).rejects.toMatchObject({ code: "usage" });
});

test("is ready when the engine answers, and waits for one that starts later, repeatedly", async () => {
  await using folder = await temporaryFolder();
  const socket = join(folder.path, "late.sock");
  await using link = await EngineLink.prepare(`unix://${socket}`, {});
  for (const version of ["1", "2"]) {
    const ready = link.isReady(never);
    expect(await rejection(link.look(never))).toMatchObject({ code: "engine-unreachable" });
    const server = createServer((asked, response) => {
      response.setHeader("Api-Version", "1.51");
      response.end(
        asked.url?.endsWith("/_ping") ? "OK" : JSON.stringify({ Version: version, Os: "linux", Arch: "amd64" }),
      );
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    await ready;
    expect(await link.with(async (engine) => (await engine.info()).version)).toBe(version);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(socket, { force: true });
  }
});

test("ends the wait for an engine only with the signal's reason", async () => {
  await using link = await EngineLink.prepare("unix:///nowhere/engine.sock", {});
  const stop = new AbortController();
  const ready = link.isReady(stop.signal);
  const reason = new Error("the server stops");
  stop.abort(reason);
  await expect(ready).rejects.toBe(reason);
});

test("does not close an engine while it is in use", async () => {
  await using fake = await fakeEngine({ "GET /version": ROUTES["GET /version"] });
  await using link = await EngineLink.prepare(fake.endpoint.host, {});
  await link.with(async (engine) => {
    await rejection(link.look(never)); // it does not answer /info
    expect(await engine.listReferences().catch((error: Error) => error.message)).toContain("no route for");
  });
});

/** Collects reports until `isEnough`. */
async function reportsOf(link: EngineLink, isEnough: (report: WorkerReport) => boolean): Promise<WorkerReport[]> {
  const reports: WorkerReport[] = [];
  const stop = new AbortController();
  const store = {
    async report(report: WorkerReport) {
      reports.push(report);
      if (isEnough(report)) stop.abort();
      throw new Error("the store is gone, which ends nothing");
    },
  };
  const running = new Set(["job"]);
  await reportEvery({ store, link, worker: "host:1", places: 2, running, signal: stop.signal, every: 5 });
  return reports;
}

test("reports the engine's version and disk, and the running jobs; queries the disk once a minute", async () => {
  await using fake = await fakeEngine(ROUTES);
  await using link = await EngineLink.prepare(fake.endpoint.host, {});
  let more = 3;
  const reports = await reportsOf(link, ({ engine }) => engine.disk !== undefined && --more === 0);
  const disk = { images: 1_000, cache: 200, volumes: 30, containers: 5 };
  const engine = { address: fake.endpoint.host, isReachable: true, version: "28.5.2", disk };
  expect(reports.at(-2)).toMatchObject({ worker: "host:1", places: 2, running: ["job"], engine });
  expect(reports.at(-1)).toMatchObject({ engine: { isReachable: false, error: "the worker has stopped" } });
  expect(fake.calls().filter((call) => call === "GET /system/df")).toHaveLength(1);
});

test("reports why an engine cannot be reached", async () => {
  await using link = await EngineLink.prepare("unix:///nowhere/engine.sock", {});
  const [report] = await reportsOf(link, () => true);
  const error = expect.stringContaining("there is no such socket") as string;
  expect(report?.engine).toEqual({ address: "unix:///nowhere/engine.sock", isReachable: false, error });
});
