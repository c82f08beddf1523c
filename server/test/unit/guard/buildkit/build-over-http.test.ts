import { create, fromBinary } from "@bufbuild/protobuf";
import { expect, test, vi } from "vitest";
import type { ApiObject } from "../../../../src/guard/backend.ts";
import type { BuildRequest } from "../../../../src/guard/build-request.ts";
import { buildsOverHttp } from "../../../../src/guard/buildkit/build-over-http.ts";
import type { GuardedBuildkit } from "../../../../src/guard/buildkit/create-buildkit.ts";
import { StatusResponseSchema } from "../../../../src/guard/buildkit/gen/control_pb.ts";
import type { Caller } from "../../../../src/guard/caller.ts";
import { Refusal } from "../../../../src/guard/refusal.ts";

const request: BuildRequest = {
  builder: "buildkit",
  names: ["app:v1", "other"],
  dockerfile: "Dockerfile",
  buildArgs: {},
  labels: {},
  noCache: false,
  pull: false,
  quiet: false,
  remove: true,
  forceRemove: false,
  cacheFrom: [],
  network: "default",
  extraHosts: [],
  ulimits: [],
  session: "session1",
  buildId: "build1",
  outputs: [],
  credentials: {},
};
const status = create(StatusResponseSchema, { vertexes: [{ digest: "sha256:1", name: "a step" }] });

function callerOf(id = "a"): Caller {
  return { tenant: { id }, apiVersion: "1.41", signal: new AbortController().signal, note: {} } as unknown as Caller;
}

function buildsWith(solve: GuardedBuildkit["solve"]) {
  const lines: ApiObject[] = [];
  const solveMock = vi.fn<GuardedBuildkit["solve"]>(solve);
  const builds = buildsOverHttp({ solve: solveMock });
  return { lines, solve: solveMock, builds, onLine: (line: ApiObject) => void lines.push(line) };
}

test("sends the progress in the engine's format, then the image", async () => {
  const { lines, builds, onLine } = buildsWith((_caller, _order, onStatus) => {
    onStatus(status);
    return Promise.resolve({ imageId: "sha256:2", answer: {} });
  });
  await builds.build(callerOf(), request, onLine);
  expect(lines[0]?.["id"]).toBe("moby.buildkit.trace");
  const read = fromBinary(StatusResponseSchema, Buffer.from(String(lines[0]?.["aux"]), "base64"));
  expect(read.vertexes[0]?.name).toBe("a step");
  expect(lines.slice(1)).toEqual([{ id: "moby.image.id", aux: { ID: "sha256:2" } }]);
});

test("sends only the image of a quiet build", async () => {
  const { lines, builds, onLine } = buildsWith((_caller, _order, onStatus) => {
    onStatus(status);
    return Promise.resolve({ imageId: "sha256:2", answer: {} });
  });
  await builds.build(callerOf(), { ...request, quiet: true }, onLine);
  expect(lines).toEqual([{ stream: "sha256:2\n" }]);
});

test("translates all properties of a request", async () => {
  const { solve, builds, onLine } = buildsWith(() => Promise.resolve({ answer: {} }));
  const full: BuildRequest = {
    ...request,
    cacheFrom: ["r.example/app:cache"],
    dockerfile: "sub/Dockerfile",
    target: "last",
    remote: "https://example.com/context.git",
    buildArgs: { A: "1", FROM_ENVIRONMENT: null },
    labels: { l: "2" },
    platform: "linux/amd64",
    noCache: true,
    pull: true,
    network: "none",
    extraHosts: ["one:10.0.0.1", "two:::1"],
    shmSize: 5,
    ulimits: ["nofile=1:2", "core=0:0"],
  };
  await builds.build(callerOf(), full, onLine);
  expect(solve.mock.lastCall?.[1]).toEqual({
    cacheFrom: ["r.example/app:cache"],
    ref: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
    session: "session1",
    exporters: [{ type: "moby", attrs: { name: "app:v1,other" } }],
    attributes: {
      filename: "sub/Dockerfile",
      target: "last",
      context: "https://example.com/context.git",
      "build-arg:A": "1",
      "label:l": "2",
      platform: "linux/amd64",
      "no-cache": "",
      "image-resolve-mode": "pull",
      "force-network-mode": "none",
      "add-hosts": "one=10.0.0.1,two=::1",
      "shm-size": "5",
      ulimit: "nofile=1:2,core=0:0",
    },
  });
});

test("sets no image name for an output to the client", async () => {
  const { solve, builds, onLine } = buildsWith(() => Promise.resolve({ answer: {} }));
  await builds.build(callerOf(), { ...request, outputs: [{ type: "local", attributes: {} }] }, onLine);
  expect(solve.mock.lastCall?.[1].exporters).toEqual([{ type: "local", attrs: {} }]);
  await builds.build(callerOf(), { ...request, outputs: [{ type: "cacheonly", attributes: {} }] }, onLine);
  expect(solve.mock.lastCall?.[1].exporters).toEqual([]);
});

test.for<[string, Partial<BuildRequest>]>([
  ["in the body", { session: undefined }],
  ["in a separate request", { remote: "upload-request" }],
  ["of another build, in the body", { buildId: "upload-request:build1" }],
])("refuses a context %s", async ([, change]) => {
  const { builds, onLine, solve } = buildsWith(() => Promise.resolve({ answer: {} }));
  await expect(builds.build(callerOf(), { ...request, ...change }, onLine)).rejects.toMatchObject({
    rule: "build.body",
  });
  expect(solve).not.toHaveBeenCalled();
});

test("refuses a second output", async () => {
  const { builds, onLine } = buildsWith(() => Promise.resolve({ answer: {} }));
  const output = { type: "local", attributes: {} };
  await expect(builds.build(callerOf(), { ...request, outputs: [output, output] }, onLine)).rejects.toMatchObject({
    rule: "exporter.several",
  });
});

test("throws a failure before the first line, and sends a later one as a line", async () => {
  const failure = new Refusal("build.failed", "a step has failed", { statusCode: 500 });
  const early = buildsWith(() => Promise.reject(failure));
  await expect(early.builds.build(callerOf(), request, early.onLine)).rejects.toBe(failure);
  const late = buildsWith((_caller, _order, onStatus) => {
    onStatus(status);
    return Promise.reject(failure);
  });
  const caller = callerOf();
  await late.builds.build(caller, request, late.onLine);
  expect(late.lines.at(-1)).toEqual({ errorDetail: { message: "a step has failed" }, error: "a step has failed" });
  expect(caller.note.rule).toBe("build.failed");
});

test("cancels only a tenant's own build", async () => {
  const { builds, onLine } = buildsWith(
    async ({ signal }) =>
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
  );
  const building = builds.build(callerOf("a"), request, onLine);
  expect(builds.cancel("b", "build1")).toBe(false);
  expect(builds.cancel("a", "build2")).toBe(false);
  await expect(builds.build(callerOf("a"), request, onLine)).rejects.toMatchObject({ rule: "build.id" });
  expect(builds.cancel("a", "build1")).toBe(true);
  await expect(building).rejects.toMatchObject({ rule: "build.cancelled" });
  expect(builds.cancel("a", "build1")).toBe(false);
});
