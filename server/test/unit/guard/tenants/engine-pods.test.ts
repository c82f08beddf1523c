import { mkdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { EngineApi } from "../../../../src/guard/engine/engine-api.ts";
import { enginePods } from "../../../../src/guard/tenants/engine-pods.ts";
import { DEFAULTS, follow, type Followed } from "./changes-bed.ts";
import { container, kubelet, podEngine, UID, type Kubelet, type PodEngine } from "./pods-bed.ts";

async function pods(engine: PodEngine, { path }: Kubelet): Promise<Followed> {
  const api = await EngineApi.prepare(`unix://${engine.engine.socketPath}`, {});
  const followed = follow(enginePods({ engine: api, defaults: DEFAULTS, kubelet: path, firstPause: 1 }));
  return {
    ...followed,
    async [Symbol.asyncDispose]() {
      await followed[Symbol.asyncDispose]();
      await api[Symbol.asyncDispose]();
    },
  };
}

test("a pod with a container that mounts a writable emptyDir is a tenant with its labels and its cgroup, until its last container is removed", async () => {
  await using folder = await kubelet();
  await using engine = await podEngine();
  const path = folder.emptyDir(UID);
  engine.containers = [container("1"), container("2", path)];
  await using found = await pods(engine, folder);
  await found.ready;
  expect(found.reports).toEqual([`+${UID} ${path}/docker.sock`]);
  expect(found.endpoints.get(UID)).toMatchObject({
    isInTenantsFolder: true,
    tenant: {
      labels: {
        "io.kubernetes.pod.uid": UID,
        "io.kubernetes.pod.name": "builder",
        "io.kubernetes.pod.namespace": "ci",
      },
      resources: { cgroupParent: "/kubepods/burstable/pod1" },
    },
  });
  expect(engine.engine.seen.find(({ path: at }) => at === "/events")?.query.get("filters")).toBe(
    '{"type":["container"],"event":["create","start","die","destroy"],"label":["io.kubernetes.pod.uid"]}',
  );

  engine.containers = [container("1"), container("2", path), container("3", path)]; // shares the tenant
  // Simultaneous events are handled together, so each event is awaited.
  const lists = () => engine.engine.calls().filter((call) => call === "GET /containers/json").length;
  const looked = async (more: number) =>
    await vi.waitFor(() => expect(lists()).toBeGreaterThanOrEqual(more), { timeout: 20_000 });
  const first = lists();
  engine.emit();
  await looked(first + 1);
  engine.containers = [container("1"), container("3", path)];
  const second = lists();
  engine.emit();
  await looked(second + 1);
  expect(found.reports).toHaveLength(1);
  engine.containers = [];
  engine.emit();
  await vi.waitFor(() => expect(found.reports.slice(1)).toEqual([`--${UID}`]));
});

test("a pod whose container is missing for a while may return", async () => {
  await using folder = await kubelet();
  await using engine = await podEngine();
  const path = folder.emptyDir(UID);
  engine.containers = [container("1"), container("2", path)];
  await using found = await pods(engine, folder);
  await found.ready;
  engine.containers = [container("1")];
  engine.emit();
  await vi.waitFor(() => expect(found.reports.slice(1)).toEqual([`-${UID}`]));
  engine.containers = [container("1"), container("3", path)];
  engine.emit();
  await vi.waitFor(() => expect(found.reports.slice(2)).toEqual([`+${UID} ${path}/docker.sock`]));
});

describe("no tenant", () => {
  const other = "ffffffff-1111-4222-8333-444455556666";
  test.each<[string, (folder: Kubelet) => Parameters<typeof container>, RegExp | undefined]>([
    ["is a pod that mounts it read-only", (at) => ["1", at.emptyDir(UID), { RW: false }], undefined],
    ["is a pod that mounts it elsewhere", (at) => ["1", at.emptyDir(UID), { Destination: "/work" }], undefined],
    ["is a pod that mounts a volume of the engine", (at) => ["1", at.emptyDir(UID), { Type: "volume" }], undefined],
    ["is a pod that mounts another pod's emptyDir", (at) => ["1", at.emptyDir(other)], /is not its emptyDir/],
    ["is a pod that mounts a folder of the host", () => ["1", "/var/run"], /is not its emptyDir/],
    [
      "is a pod whose mount leads out of its emptyDir",
      (at) => ["1", `${at.emptyDir(UID)}/../../../../../..`],
      /is not its emptyDir/,
    ],
    [
      "is a pod whose mount is a folder in its emptyDir",
      (at) => ["1", `${at.emptyDir(UID)}/sub`],
      /is not its emptyDir/,
    ],
    ["is a pod whose UID is a path", (at) => ["1", at.emptyDir(UID), { uid: `${other}/../${UID}` }], undefined],
    [
      "is a pod whose emptyDir is a link",
      (at) => {
        const path = at.emptyDir(UID);
        rmSync(path, { recursive: true });
        symlinkSync("/var/run", path);
        return ["1", path];
      },
      /is not a folder/,
    ],
    [
      "is a pod with a link in the path",
      (at) => {
        const path = at.emptyDir(UID);
        const above = dirname(path);
        renameSync(above, `${above}-moved`);
        mkdirSync(join(at.path, "evil/docker-socket"), { recursive: true });
        symlinkSync(join(at.path, "evil"), above);
        return ["1", path];
      },
      /symbolic link/,
    ],
  ])("%s", async (_, make, problem) => {
    await using folder = await kubelet();
    await using engine = await podEngine();
    engine.containers = [container(...make(folder))];
    await using found = await pods(engine, folder);
    await found.ready;
    engine.emit();
    expect(found.reports).toEqual(problem === undefined ? [] : [expect.stringMatching(problem)]);
  });

  test("is a container that has the labels only from its image: it does not keep the pod that has built the image", async () => {
    await using folder = await kubelet();
    await using engine = await podEngine();
    const path = folder.emptyDir(UID);
    const run = container("1");
    delete run.Labels["io.kubernetes.container.name"];
    engine.containers = [run, container("2", path)];
    await using found = await pods(engine, folder);
    await found.ready;
    engine.containers = [run];
    engine.emit();
    await vi.waitFor(() => expect(found.reports.slice(1)).toEqual([`--${UID}`]));
  });
});

test("reports an unavailable engine once and retries; removes a pod that was removed in the meantime for good", async () => {
  await using folder = await kubelet();
  await using engine = await podEngine();
  const path = folder.emptyDir(UID);
  const second = "ffffffff-1111-4222-8333-444455556666";
  engine.containers = [container("1"), container("2", path)];
  await using found = await pods(engine, folder);
  await found.ready;
  engine.fail(true);
  await vi.waitFor(() =>
    expect(
      engine.engine.calls().filter((call) => call === "GET /version" || call === "GET /events").length,
    ).toBeGreaterThan(5),
  );
  engine.containers = [container("3", folder.emptyDir(second), { uid: second })];
  engine.fail(false);
  await vi.waitFor(() => expect(found.reports).toHaveLength(4));
  expect(found.reports[1]).toMatch(/^!--kubernetes: .*The guard retries/);
  expect(found.reports.slice(2)).toEqual([`--${UID}`, `+${second} ${folder.emptyDir(second)}/docker.sock`]);
});

test("waits for an engine that is unavailable at the start", async () => {
  await using folder = await kubelet();
  await using engine = await podEngine();
  engine.fail(true);
  await using found = await pods(engine, folder);
  await vi.waitFor(() => expect(found.reports).toEqual([expect.stringMatching(/^!--kubernetes: /)]));
  engine.containers = [container("1", folder.emptyDir(UID))];
  engine.fail(false);
  await found.ready;
  expect(found.endpoints.has(UID)).toBe(true);
});
