import { createServer } from "node:http2";
import { duplexPair } from "node:stream";
import { setImmediate } from "node:timers/promises";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import type { BuildContext } from "../../../../src/build-context/build-context.ts";
import type { ApiRequest } from "../../../../src/engine/api/request.ts";
import { checkBuild } from "../../../../src/engine/build/check-build.ts";
import { buildImage } from "../../../../src/engine/build/build-image.ts";
import { Control } from "../../../../src/engine/buildkit/gen/control_pb.ts";
import { parseHost } from "../../../../src/engine/connect/endpoint.ts";
import { EngineError } from "../../../../src/engine/engine-error.ts";
import type { BuilderKind, BuildOptions, BuildOrder } from "../../../../src/engine/engine-builder.ts";
import { grpcOver, type GrpcConnection } from "../../../../src/engine/grpc/grpc-connection.ts";
import { Http2Connection } from "../../../../src/engine/http/http2.ts";
import { Failure } from "../../../../src/output/errors.ts";
import { latch, rejection } from "../fake-engine.ts";
import { memoryContext } from "./memory-context.ts";

const BUILT = '{"aux":{"ID":"sha256:built"}}\n';
const files = { Dockerfile: "FROM registry.example.com/base:v1\n" };

/** The API of an engine. `session` runs when the session is opened. Default: it waits. */
class FakeApi {
  endpoint = parseHost("unix:///fake.sock", "test");
  signal = undefined;
  requests: ApiRequest[] = [];
  sessions: Headers[] = [];
  answer = async (): Promise<string> => BUILT;
  hasGrpc = true;
  /** Resolves when the session has begun and its call has ended. */
  begun = latch();
  left = latch();
  session = async (): Promise<void> => await new Promise(() => {});

  async *#body(): AsyncGenerator<Buffer> {
    yield Buffer.from(await this.answer());
  }

  async stream(_method: string, _path: string, request: ApiRequest = {}): Promise<AsyncGenerator<Buffer>> {
    this.requests.push(request);
    if (request.archive !== undefined) for await (const _ of request.archive); // the engine reads it
    return this.#body();
  }

  async grpc(): Promise<GrpcConnection | undefined> {
    if (!this.hasGrpc) return undefined;
    const [here, there] = duplexPair();
    const session = async function* (this: FakeApi, _: unknown, { requestHeader }: HandlerContext) {
      this.sessions.push(requestHeader);
      this.begun.open();
      await this.session();
      yield* [];
    };
    const routes = ({ service }: ConnectRouter): void => void service(Control, { session: session.bind(this) });
    createServer(connectNodeAdapter({ routes })).emit("connection", there);
    const connection = await Http2Connection.open(here, { signal: new AbortController().signal });
    const open = connection.open.bind(connection);
    connection.open = (...call) => open(...call).once("close", () => this.left.open());
    return grpcOver(connection, { isShared: true });
  }
}

interface Given {
  kind?: BuilderKind;
  order?: Partial<BuildOrder>;
  options?: Partial<BuildOptions>;
  context?: BuildContext | undefined;
}

async function build(api: FakeApi, given: Given = {}) {
  const { kind = "buildkit", order, options } = given;
  const context = "context" in given ? given.context : memoryContext(files);
  const whole: BuildOrder = {
    names: ["a:1", "b:2"],
    dockerfile: "Dockerfile",
    buildArgs: { A: "1" },
    labels: {},
    platform: { os: "linux", architecture: "arm64" },
    noCache: true,
    pull: false,
    cacheFrom: [],
    secrets: [],
    agents: [],
    contextKey: "project",
    ...order,
  };
  const credentials = async (): Promise<{ username: string; password: string }> => ({ username: "me", password: "pw" });
  return await buildImage(api, kind, whole, context, {
    answers: { credentials, secret: async () => undefined, agent: async () => await Promise.reject(new Error("none")) },
    onEvent: () => {},
    signal: new AbortController().signal,
    ...options,
  });
}

test("sends BuildKit the options of the order, and the files in a session", async () => {
  const api = new FakeApi();
  api.answer = async () => (await api.begun.opened, BUILT);
  expect(await build(api)).toEqual({ id: "sha256:built", served: 0 });
  const [{ query, repeated, archive, registryConfig } = {}] = api.requests;
  expect([archive, registryConfig]).toEqual([undefined, undefined]);
  expect(repeated).toEqual({ t: ["a:1", "b:2"] });
  expect(query).toMatchObject({ version: 2, remote: "client-session", platform: "linux/arm64", nocache: true });
  expect(query).toMatchObject({ buildargs: { A: "1" }, labels: undefined, pull: undefined });
  const [headers] = api.sessions;
  expect(headers?.get("x-docker-expose-session-uuid")).toBe(query?.["session"]);
  expect(headers?.get("x-docker-expose-session-sharedkey")).toBe("project");
});

test("BuildKit compares a context with the previous context of the same place", async () => {
  const api = new FakeApi();
  api.answer = async () => (await api.begun.opened, BUILT);
  await build(api, { order: { contextPlace: "folder" } });
  expect(api.sessions[0]?.get("x-docker-expose-session-sharedkey")).toBe("folder");
});

test.each<[string, (api: FakeApi) => Given]>([
  ["the engine passes no gRPC", (api) => ((api.hasGrpc = false), {})],
  ["a name is not UTF-8", () => ({ context: memoryContextWith("\u00e4") })],
  ["it is asked for", () => ({ options: { syncsFiles: false } })],
])("sends a tar if %s", async (_, prepare) => {
  const api = new FakeApi();
  expect((await build(api, prepare(api))).served).toBeUndefined();
  expect(api.requests[0]?.archive).toBeDefined();
  expect(api.requests[0]?.query?.["remote"]).toBeUndefined();
});

test("sends the address of a git repository instead of a context", async () => {
  const api = new FakeApi();
  await build(api, { context: undefined, order: { git: "https://example.com/app.git#main" } });
  expect(api.requests[0]?.query?.["remote"]).toBe("https://example.com/app.git#main");
  expect(api.requests[0]?.archive).toBeUndefined();
});

const LIMITS = { memory: 64 * 1024 ** 2, cpus: 0.5 };

test.each(["classic", "buildah"] as const)("sends %s the limits of memory, without swap, and of cpus", async (kind) => {
  const api = new FakeApi();
  await build(api, { kind, order: LIMITS });
  const { query } = api.requests[0] ?? {};
  expect(query).toMatchObject({ memory: 67_108_864, memswap: 67_108_864, cpuperiod: 100_000, cpuquota: 50_000 });
});

test("without a network, uses Podman's own value, because Podman treats `none` as its default, the host's network", async () => {
  const api = new FakeApi();
  await build(api, { kind: "buildah", order: { network: "none" } });
  await build(api, { kind: "classic", order: { network: "none" } });
  const [podman, docker] = api.requests;
  expect(podman?.query).toMatchObject({
    networkmode: "NetworkDisabled",
    nsoptions: [{ Name: "network", Host: false }],
  });
  expect(docker?.query).toMatchObject({ networkmode: "none" });
  expect(docker?.query).not.toHaveProperty("nsoptions");
});

test.each([{ memory: LIMITS.memory }, { cpus: LIMITS.cpus }])(
  "rejects an order with %s for BuildKit, because BuildKit ignores limits",
  async (order) => {
    const api = new FakeApi();
    const failure = await rejection(build(api, { order }));
    expect(failure).toMatchObject({ code: "usage" });
    expect(api.requests).toEqual([]);
  },
);

test.each(["classic", "buildah"] as const)("sends %s the credentials for the bases with the request", async (kind) => {
  const api = new FakeApi();
  await build(api, { kind });
  const auth = { username: "me", password: "pw", serveraddress: "registry.example.com" };
  expect(api.requests[0]?.registryConfig).toEqual({ "registry.example.com": auth });
  expect(api.requests[0]?.query).toMatchObject({ rm: true, forcerm: true });
  expect(api.sessions).toEqual([]);
});

test.each<[string, Given, boolean, string]>([
  [
    "classic",
    { kind: "classic", order: { agents: ["default"] } },
    true,
    "Build on a host with such an engine, or omit --ssh.",
  ],
  [
    "buildah",
    { kind: "buildah", order: { secrets: ["token"] } },
    true,
    "Build on a host with such an engine, or omit --secret.",
  ],
  ["BuildKit behind a proxy", { order: { secrets: ["token"] } }, false, "Use the engine's own socket."],
])("%s: rejects an order that needs a session, and sends nothing", async (_, given, hasGrpc, hint) => {
  const api = new FakeApi();
  api.hasGrpc = hasGrpc;
  expect(await rejection(build(api, given))).toMatchObject({ code: "usage", hint });
  expect(api.requests).toEqual([]);
});

test.each<[BuilderKind, string]>([
  ["classic", "the builder of the engine, Docker 26.1, does not check Dockerfiles"],
  ["buildah", "the builder of the engine, Podman 26.1, does not check Dockerfiles"],
])("does not let %s check a Dockerfile", async (kind, message) => {
  const options = { answers: {} as never, signal: new AbortController().signal };
  const checking = checkBuild(new FakeApi(), { kind, version: "26.1" }, {} as BuildOrder, undefined, options);
  const hint = "Build on a host with such an engine, or omit --check.";
  expect(await rejection(checking)).toMatchObject({ code: "usage", message, hint });
});

test("reports a file that cannot be read as the reason, whatever error the engine reports", async () => {
  const api = new FakeApi();
  const failure = new Failure("context-invalid", "file has changed");
  const context = memoryContext({ ...files, file: "x" });
  const read = () => failing(failure);
  const given = { context: { ...context, read }, options: { syncsFiles: false } };
  expect(await rejection(build(api, given))).toBe(failure);
});

test("reports a broken session as the reason of the failed build", async () => {
  const api = new FakeApi();
  api.session = async () => await Promise.reject(new Error("connection reset"));
  api.answer = async () => {
    await api.left.opened;
    await setImmediate(); // the code that waits for the call has now continued
    return '{"error":"failed to solve: no active session"}\n';
  };
  const error = await rejection(build(api));
  expect(error.code).toBe("engine-unreachable");
  expect(error.message).toContain("the session of the build has ended");
});

test("reports a build failure if the engine rejects the request", async () => {
  const api = new FakeApi();
  api.stream = async () =>
    await Promise.reject(new EngineError("dockerfile parse error line 1: unknown instruction: X", 400));
  const error = await rejection(build(api));
  expect(error.code).toBe("build-failed");
  expect(error.message).toContain("unknown instruction: X");
});

function memoryContextWith(path: string): BuildContext {
  const context = memoryContext(files);
  return { ...context, entries: [...context.entries, { kind: "file", path, mode: 0o644, mtime: 0, size: 0 }] };
}

async function* failing(error: Error): AsyncGenerator<Uint8Array> {
  yield* [];
  throw error;
}
