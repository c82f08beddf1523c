import { once } from "node:events";
import { Agent } from "node:http";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, test, vi } from "vitest";
import { connectHttp2, engineSpeaksHttp2 } from "../../../../src/engine/grpc/connect-grpc.ts";
import { openContentStore } from "../../../../src/engine/buildkit/open-content-store.ts";
import { openApi } from "../../../../src/engine/api/docker-api.ts";
import { openEngine } from "../../../../src/engine/open/open-engine.ts";
import type { EngineAddress } from "../../../../src/engine/connect/endpoint.ts";
import { switchProtocol } from "../../../../src/engine/http/http1.ts";
import { contentEngine, type ContentEngineOptions } from "../fake-content-engine.ts";
import { rejection, temporaryFolder } from "../fake-engine.ts";

const [PING, PREFACE, SWITCH, LIST, IMAGES] = [
  "1.1 GET /_ping",
  "PRI *",
  "1.1 POST /grpc",
  "2.0 List",
  "1.1 GET /images/json?all=true",
];

/** Stops the clock until {@link pass} is called. */
function holdTime(): void {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
}
afterEach(() => vi.useRealTimers());

describe("gRPC with an engine on a socket", () => {
  test.each<[string, ContentEngineOptions, string[]]>([
    ["1.51", {}, [SWITCH]],
    ["1.56", {}, [PREFACE]],
    ["1.56, behind a proxy that speaks only HTTP/1.1", { http2: false }, [PREFACE, SWITCH]],
  ])("of API %s connects once; other requests still work", async (name, options, connected) => {
    const [apiVersion = ""] = name.split(",");
    await using fake = await contentEngine({ apiVersion, ...options });
    await using engine = await openEngine(fake.endpoint);
    expect(await engine.contentStore()).toBeDefined();
    expect(await (await engine.contentStore())?.find({ digests: ["sha256:0"] })).toEqual([]);
    expect(await engine.listImageIds()).toEqual([]);
    expect(fake.requests).toEqual([PING, ...connected, LIST, LIST, IMAGES]);
  });

  test.each<[string, ContentEngineOptions]>([
    ["refuses it", { grpc: 403 }],
    ["does not know it", { grpc: 404 }],
    ["cannot do it", { grpc: 501 }],
    ["refuses it, and HTTP/2 as well", { apiVersion: "1.56", http2: false, grpc: 403 }],
    ["refuses it, and hangs up on HTTP/2", { apiVersion: "1.56", http2: "hang up", grpc: 403 }],
    ["answers it with another status", { grpc: 200 }],
  ])("is unavailable if a proxy %s; there is no second attempt, and other requests work", async (_, options) => {
    holdTime();
    await using fake = await contentEngine(options);
    await using engine = await openEngine(fake.endpoint);
    expect(await engine.contentStore()).toBeUndefined();
    const asked = fake.requests.length;
    expect(await engine.contentStore()).toBeUndefined();
    expect(await engine.listImageIds()).toEqual([]);
    expect(fake.requests.slice(asked)).toEqual([IMAGES]);
  });

  test.each<[string, ContentEngineOptions, string[]]>([
    ["the switch", { grpc: "hang" }, [SWITCH]],
    ["HTTP/2, and with it the switch,", { apiVersion: "1.56", http2: "hang", grpc: "hang" }, [PREFACE]],
  ])("does not wait if %s gets no answer", async (_, options, waits) => {
    holdTime();
    await using fake = await contentEngine(options);
    await using engine = await openEngine(fake.endpoint);
    const store = engine.contentStore();
    for (const request of waits) {
      await expect.poll(() => fake.requests).toContain(request);
      vi.advanceTimersByTime(1000);
    }
    expect(await store).toBeUndefined();
    expect(await engine.listImageIds()).toEqual([]);
  });

  test("is unavailable if the engine switches the connection and then does not answer", async () => {
    holdTime();
    await using fake = await contentEngine({
      list: async function* () {
        vi.advanceTimersByTime(1000);
        await new Promise(() => {});
        yield {};
      },
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await engine.contentStore()).toBeUndefined();
    expect(await engine.listImageIds()).toEqual([]);
  });

  test.each([Code.Unimplemented, Code.NotFound, Code.Unknown])(
    "provides no content store if the engine answers with error %i",
    async (code) => {
      await using fake = await contentEngine({
        list: async function* () {
          yield {};
          throw new ConnectError("unknown service containerd.services.content.v1.Content", code);
        },
      });
      await using engine = await openEngine(fake.endpoint);
      expect(await engine.contentStore()).toBeUndefined();
    },
  );

  test("may take as long as a login to connect: the limit for the first answer starts after it", async () => {
    holdTime();
    await using fake = await contentEngine();
    await using api = await openApi(fake.endpoint);
    const connected = await api.grpc();
    let logins = 0;
    const grpc = async () => {
      if ((logins += 1) === 1) vi.advanceTimersByTime(30_000);
      return connected;
    };
    const { endpoint, signal, timeouts, moved } = api;
    expect(await openContentStore({ endpoint, signal, timeouts, moved, grpc })).toBeDefined();
  });

  test.each<[string, ContentEngineOptions, string]>([
    ["the switch", { grpc: "hang" }, SWITCH],
    ["HTTP/2", { apiVersion: "1.56", http2: "hang" }, PREFACE],
  ])("does not delay disposal if %s gets no answer", async (_, options, last) => {
    holdTime();
    await using fake = await contentEngine(options);
    const engine = await openEngine(fake.endpoint);
    const store = rejection(engine.contentStore());
    await expect.poll(() => fake.requests).toContain(last);
    await engine[Symbol.asyncDispose]();
    expect((await store).message).toBe("the engine has been disposed");
    expect(fake.requests.at(-1)).toBe(last);
  });

  test("that hangs rejects with the reason of any signal", async () => {
    holdTime();
    await using fake = await contentEngine({ grpc: "hang" });
    const [all, own] = [new AbortController(), new AbortController()];
    await using api = await openApi(fake.endpoint, { signal: all.signal });
    const [first, second] = [rejection(api.grpc()), rejection(api.grpc(own.signal))];
    await expect.poll(() => fake.requests).toContain(SWITCH);
    own.abort(new Error("no longer wanted"));
    expect((await second).message).toBe("no longer wanted");
    all.abort(new Error("Ctrl-C"));
    expect((await first).message).toBe("Ctrl-C");
    expect(fake.connections).toBe(1);
  });
});

test("bytes that follow the switch answer at once belong to the other protocol", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "engine.sock");
  const consent = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
  const server = createServer((socket) => socket.once("data", () => socket.end(`${consent}the first frame`)));
  await once(server.listen(path), "listening");
  const agent = Object.assign(new Agent(), { createConnection: () => connect(path) });
  const switched = await switchProtocol(agent, "/grpc", "h2c", new AbortController().signal);
  expect(await text(switched as Duplex)).toBe("the first frame");
  server.close();
});

describe("an engine over TCP", () => {
  async function connectTo(address: EngineAddress, prefix = ""): Promise<string[]> {
    await using fake = await contentEngine({ apiVersion: "1.56" });
    const connections = {
      agent: new Agent(),
      another: () => connect(fake.socketPath),
      [Symbol.asyncDispose]: async () => {},
    };
    const { signal } = new AbortController();
    const found = await connectHttp2({ address, connections, offered: "1.56", prefix, signal });
    found?.connection[Symbol.dispose]();
    return fake.requests;
  }
  const address = { protocol: "tcp", hostname: "build", port: 2376, pathPrefix: "" } as const;

  test("with TLS does not speak HTTP/2 from the start", async () => {
    expect(await connectTo(address)).toEqual([PREFACE]);
    expect(await connectTo({ ...address, tls: { verify: true } })).toEqual([SWITCH]);
  });

  test("gets requests under its path prefix", async () => {
    expect(await connectTo({ ...address, tls: { verify: true } }, "/engines/1")).toEqual(["1.1 POST /engines/1/grpc"]);
  });
});

test.each([
  ["1.53", true],
  ["1.56", true],
  ["2.0", true],
  ["1.52", false],
  ["1.6", false],
  ["", false],
  ["1.56-dev", false],
  ["1.56.1", false],
])("an engine with API %j speaks HTTP/2 on its socket: %s", (version, expected) => {
  expect(engineSpeaksHttp2(version)).toBe(expected);
});
